"""Reading rows with a model: what it says of them, the points of its layers, and how many rows fit at a time.

Shapes: B rows, T places, D d_model, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.batch import IGNORE_INDEX
from prospero.errors import ConfigError
from prospero.model.base import LanguageModel
from prospero.model.hooks import points, record
from prospero.model.layers.block import Block

LOGITS_AT_ONCE = 2**24
"""Logits held at a time: 64 MB of float32."""
WEIGHTS_AT_ONCE = 2**26
"""Attention weights held at a time: 256 MB of float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some texts of one length."""

    input_ids: Tensor
    """int64 [B, T]."""
    labels: Tensor
    """What comes next, int64 [B, T]; IGNORE_INDEX where nothing is asked for."""
    document_ids: Tensor
    """int [B, T]."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device) -> "Rows":
        """Return the same rows on a device."""
        inputs, labels, documents = (x.to(device) for x in (self.input_ids, self.labels, self.document_ids))
        return Rows(input_ids=inputs, labels=labels, document_ids=documents)

    def part(self, start: int, end: int) -> "Rows":
        """Return rows `start` to `end`."""
        cut = slice(start, end)
        return Rows(input_ids=self.input_ids[cut], labels=self.labels[cut], document_ids=self.document_ids[cut])


def layer_points(model: LanguageModel) -> list[str]:
    """Return the names of the points after each block, in order."""
    known = set(points(model))
    ends = ("residual", "output")
    return [next(f"block.{b}.{end}" for end in ends if f"block.{b}.{end}" in known) for b in range(len(model.blocks))]


def read(model: LanguageModel, rows: Rows) -> Tensor:
    """Return the hidden states [B, T, D] of one forward pass of rows that lie on the model's device."""
    if model.reads_document_ids:
        return model(rows.input_ids, document_ids=rows.document_ids, logits=False).hidden
    return model(rows.input_ids, logits=False).hidden


def read_attention(model: LanguageModel, rows: Rows) -> tuple[Tensor, list[Tensor]]:
    """Return the hidden states [B, T, D], and the attention weights [B, N, T, T] of each layer in float32."""
    names = [f"block.{layer}.attention.weights" for layer in range(len(model.blocks))]
    with record(model, names) as found:
        hidden = read(model, rows)
    return hidden, [found[name].float() for name in names]


def check_all_heads(found: int, wanted: int, name: str) -> None:
    """Raise ConfigError where this process holds only some of the heads of a layer."""
    if found != wanted:
        raise ConfigError(
            f"analyses.{name} looks at all {wanted} heads of a layer, and this process holds {found} of them; look at "
            f"the checkpoints afterwards: prospero analyse run=... analyses=[{name}]"
        )


def nats_of(model: LanguageModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """Return how unlikely each of `labels` [B, T] was, in nats, float32 [B, T]; 0 where nothing is asked for."""
    return predictions(model, hidden, labels)[0]


def predictions(model: LanguageModel, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nats of `labels` [B, T], and whether each was the likeliest token; 0 where nothing is asked for."""
    flat, wanted = hidden.flatten(0, 1), labels.flatten()
    step, nats, right = tokens_at_once(model), [], []
    for start in range(0, len(flat), step):
        logits, some = model.project(flat[start : start + step]).float(), wanted[start : start + step]
        nats.append(F.cross_entropy(logits, some, ignore_index=IGNORE_INDEX, reduction="none"))
        right.append((logits.argmax(dim=-1) == some).float())
    return torch.cat(nats).view(labels.shape), torch.cat(right).view(labels.shape)


def tokens_at_once(model: LanguageModel) -> int:
    """Return for how many tokens the logits are held at a time."""
    return max(1, LOGITS_AT_ONCE // model.vocab_size)


def rows_at_once(model: LanguageModel, seq_len: int, wanted: int) -> int:
    """Return how many of `wanted` rows are read at a time, so that their attention weights stay within bounds."""
    heads = sum(block.attention.n_heads for block in model.blocks if isinstance(block, Block))
    return max(1, min(wanted, WEIGHTS_AT_ONCE // max(1, heads * seq_len**2)))
