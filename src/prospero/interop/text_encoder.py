"""Models that read texts for BERTScore: encoders of Hugging Face's, and language models of Prospero's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from prospero.checkpoints.model_folder import load_model
from prospero.errors import ConfigError, DataError
from prospero.interop.hub import fetched
from prospero.interop.import_folder import is_foreign

if TYPE_CHECKING:
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.base import LanguageModel

LAYERS = {
    "google-bert/bert-base-uncased": 9,
    "google-bert/bert-large-uncased": 18,
    "google-bert/bert-base-multilingual-cased": 9,
    "google-bert/bert-base-chinese": 8,
    "FacebookAI/roberta-base": 10,
    "FacebookAI/roberta-large": 17,
    "FacebookAI/xlm-roberta-base": 9,
    "FacebookAI/xlm-roberta-large": 17,
    "distilbert/distilbert-base-uncased": 5,
    "microsoft/deberta-xlarge-mnli": 40,
    "microsoft/deberta-v3-base": 9,
    "microsoft/deberta-v3-large": 12,
}
"""The layers that bert-score 0.3.13 uses, tuned on WMT16."""
PADDED_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert"})
"""Kinds of models that number the positions of a text from their padding id + 1."""


def load_text_encoder(place: Path | str, layer: int | None) -> "HuggingFaceEncoder | OwnEncoder":
    """Return the encoder of a folder, or of a name on the hub; it reads on the GPU where there is one.

    Raises ConfigError or DataError when it has no such layer, or cannot be read.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(place, str):
        layer = LAYERS.get(place) if layer is None else layer
        return HuggingFaceEncoder(fetched(place, "main", setting="encoder"), place, layer, device)
    if is_foreign(place):
        return HuggingFaceEncoder(place, place.name, layer, device)
    if layer is not None:
        raise ConfigError(
            f"layer={layer} is for encoders of Hugging Face's, and {place} is Prospero's own; leave it out"
        )
    model, tokenizer, _ = load_model(place, device=device)
    if tokenizer is None:
        raise ConfigError(f"{place} has no tokenizer.json, so it cannot read text; give the run's folder")
    return OwnEncoder(model, tokenizer, place.name)


class OwnEncoder:
    """The states after the last layer of a language model of ours, each of which knows what stands before it only."""

    def __init__(self, model: "LanguageModel", tokenizer: "Tokenizer", name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = f"{name}, the last layer of a model of Prospero's"

    @torch.inference_mode()
    def encode(self, text: str) -> tuple[Tensor, Tensor]:
        """Return states [t, D] and weights [t]; the separator (or the beginning) stands first, with no weight."""
        first = self.tokenizer.eot_id if self.tokenizer.bos_id is None else self.tokenizer.bos_id
        ids = [first, *self.tokenizer.encode(text.strip())][: self.model.max_seq_len]
        states = self.model(torch.tensor([ids], device=self.model.device), logits=False).hidden[0]
        return states.float().cpu(), torch.arange(len(ids)) > 0


class HuggingFaceEncoder:
    """The states after a layer of any encoder that Transformers opens; no code of the folder's is run."""

    def __init__(self, folder: Path, name: str, layer: int | None, device: str) -> None:
        transformers = _transformers()
        try:
            model: Any = transformers.AutoModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"{folder} cannot be read as an encoder: {said}") from error
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        self.model = model.to(device).eval()
        layers = int(model.config.num_hidden_layers)
        self.layer = layers if layer is None else layer
        if self.layer > layers:
            raise ConfigError(f"layer={layer}: {name} has {layers} layers")
        self.name = f"{name}, layer {self.layer} of {layers}"
        self.prefix = (
            " " if isinstance(self.tokenizer, transformers.GPT2Tokenizer | transformers.RobertaTokenizer) else ""
        )
        self.window = _window(self.tokenizer, model.config.to_dict())

    @torch.inference_mode()
    def encode(self, text: str) -> tuple[Tensor, Tensor]:
        """Return states [t, D] and weights [t], 0 for what opens and closes a text."""
        text = text.strip()
        ids = self.tokenizer.encode(self.prefix + text if text else "", truncation=True, max_length=self.window)
        row = torch.tensor([ids], device=self.model.device)
        output = self.model(row, attention_mask=torch.ones_like(row), output_hidden_states=True)
        added = torch.tensor([id_ in (self.tokenizer.sep_token_id, self.tokenizer.cls_token_id) for id_ in ids])
        return output.hidden_states[self.layer][0].float().cpu(), ~added


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            "An encoder of Hugging Face's needs the package transformers: pip install 'prospero[hub]'; without it give "
            "encoder= a model of Prospero's"
        ) from error
    return transformers


def _window(tokenizer: Any, config: dict[str, Any]) -> int:
    """Return how many tokens the encoder reads at once: what its tokenizer says, and never more than its positions."""
    positions = config.get("max_position_embeddings") or tokenizer.model_max_length
    if config["model_type"] in PADDED_POSITIONS:
        positions -= config["pad_token_id"] + 1
    return min(tokenizer.model_max_length, positions)
