"""Checkpoints of a model of a few hundred parameters, written without a training run: shared by these tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prospero.checkpoints import FolderWriter
from prospero.checkpoints.model_folder import describe_model
from prospero.checkpoints.writing import make_room
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.base import LanguageModel, ModelOutput
from prospero.model.transformer import TransformerConfig

MODEL = TransformerConfig(n_layers=1, d_model=8, n_heads=2)
VOCAB, SEQ_LEN = 257, 8
AVERAGED = {"callbacks": {"ema": {"evaluate": True, "keep": True}}}


class TwoNames(LanguageModel):
    """An embedding that is the head too: one parameter, two names in the state dict."""

    def __init__(self, vocab_size: int, max_seq_len: int, width: int) -> None:
        super().__init__(vocab_size, max_seq_len, width)
        self.embedding, self.head = nn.Embedding(vocab_size, width), nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.embedding.weight

    def forward(
        self, input_ids: Tensor, *, document_ids: Any = None, cache: Any = None, logits: bool = True
    ) -> ModelOutput:
        """Look the tokens up."""
        hidden = self.embedding(input_ids)
        return ModelOutput(hidden, self.project(hidden) if logits else None, cache)

    def output_weight(self) -> Tensor:
        """Return the matrix of the head."""
        return self.head.weight


@dataclass(kw_only=True, slots=True)
class TwoNamesConfig:
    """Settings of TwoNames; a test registers it as `two_names`."""

    width: int = 4
    """Size of the vectors."""

    def build(self, vocab_size: int, max_seq_len: int) -> TwoNames:
        """Return the model."""
        return TwoNames(vocab_size, max_seq_len, self.width)


TWO_NAMES = "tests.checkpoints.stored:TwoNamesConfig"
"""Its place, for the table of parts."""


def weights(seed: int) -> dict[str, torch.Tensor]:
    """Return a state dict of the model."""
    torch.manual_seed(seed)
    return MODEL.build(vocab_size=VOCAB, max_seq_len=SEQ_LEN).state_dict()


def parameters(seed: int) -> dict[str, torch.Tensor]:
    """Return the model's parameters, each by its one name."""
    torch.manual_seed(seed)
    model = MODEL.build(vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def tree(step: int, *, config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return what a run saves after `step` steps of eight tokens; its weights are those of seed `step`."""
    description = describe_model(MODEL, vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    memory = {"step": step, "consumed_tokens": 8 * step, "model": description, "config": config or {"seed": 3}}
    state = {f"model.{name}": tensor for name, tensor in weights(step).items()}
    return {"global_step": step, "state_dict": state, "prospero": memory, **more}


def write(run: Path, step: int, facts: dict[str, Any] | None = None, **more: Any) -> Path:
    """Write the checkpoint of `step` into the run folder `run`; `facts` go to the manifest, `more` into the tree."""
    folder = run / "checkpoints" / f"step_{step:08d}"
    return write_folder(folder, tree(step, **more), {"step": step, "tokens": 8 * step, **WRITER, **(facts or {})})


WRITER = {"world_size": 1, "strategy": "OneDeviceStrategy"}


def write_folder(folder: Path, contents: Any, facts: dict[str, Any] | None = None) -> Path:
    """Write any tree of values as one process."""
    writer = FolderWriter()
    save = writer.take(contents, folder, rank=0, world_size=1)
    save.facts = facts or {}
    save.temporary = folder.with_name(f".{folder.name}.tmp-1")
    make_room(save, save.n_bytes)
    writer.write(save)
    return folder


def save_tokenizer(run: Path) -> None:
    """Write the run's tokenizer, one token a byte, beside its checkpoints."""
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    ByteTokenizerConfig().build(lambda: iter(())).save(run / "checkpoints" / "tokenizer.json")


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over."""
    with open(path, "r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ 1 << bit % 8
        file.seek(bit // 8)
        file.write(bytes([byte]))
