"""Small models of every kind with drawn weights, and what analyses are built with for them."""

from pathlib import Path
from typing import Any

import torch

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.base import LanguageModel
from prospero.model.layers.norms import Norm
from prospero.model.rnn import GRUConfig, LSTMConfig
from prospero.model.transformer import Position, TransformerConfig
from prospero.paths import write_text

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
SEQ_LEN = 16
KINDS: dict[str, Any] = {
    "transformer": TransformerConfig(n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, init_std=0.3),
    "gpt2": TransformerConfig(
        n_layers=3, d_model=16, n_heads=2, norm=Norm.layer, position=Position.learned, tie_embeddings=True
    ),
    "lstm": LSTMConfig(n_layers=2, d_model=16, d_embedding=12),
    "gru": GRUConfig(n_layers=3, d_model=16),
}
TEXT = "Sing, O goddess, the anger of Achilles son of Peleus, that brought countless ills upon the Achaeans." * 3


def model(kind: str = "transformer", **changed: Any) -> LanguageModel:
    """Return a model with the same weights at every call."""
    torch.manual_seed(3)
    config = type(KINDS[kind])(**{**_settings(KINDS[kind]), **changed})
    return config.build(TOKENIZER.vocab_size, 64).eval()


def _settings(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in type(config).__dataclass_fields__}


def subject(of: LanguageModel, rows: int = 16) -> Subject:
    """Return it as what is measured."""
    return Subject(decoder=ModelDecoder(of), tokenizer=TOKENIZER, name="small", rows=rows, model=of)


def facts(kind: str = "transformer", **more: Any) -> AnalysisFacts:
    """Return what a host knows of a model."""
    heads = getattr(KINDS[kind], "n_heads", None)
    known = {"tokenizer": TOKENIZER, "model_kind": kind, "n_layers": KINDS[kind].n_layers, "n_heads": heads}
    return AnalysisFacts(**{**known, "seq_len": SEQ_LEN, **more})


def text_file(folder: Path) -> str:
    """Write some text and return its path."""
    path = folder / "text.txt"
    write_text(path, TEXT)  # ranks of one test write the same file
    return str(path)
