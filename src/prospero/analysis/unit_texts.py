"""Which texts move one unit most, and what it does to the next token: what a dashboard of a neuron or latent shows.

Shapes: n tokens, U units, D d_model, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from prospero.analysis.base import whole
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.model.adapters.lora import LoRALinear
from prospero.model.base import LanguageModel
from prospero.model.layers.norms import LayerNorm
from prospero.model.rnn import RNN
from prospero.model.transformer import Transformer

BY_HEAD = tuple(f"attention.{name}" for name in ("queries", "keys", "values", "scores", "weights"))
"""Points that have no vector of a token."""
STRAIGHT = frozenset({"embedding", "residual", "middle", "attention.output", "feed_forward.output"})
"""Points of a Transformer that are, or are added to, the residual stream."""
BINS = 24
"""Of a histogram of activations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A token at which a unit is far from what is usual, and the text around it."""

    value: float
    before: str
    token: str
    after: str

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"value": round(self.value, 5), "before": self.before, "token": self.token, "after": self.after}


def shown(text: str) -> str:
    """Return text on one line: what is not printable is escaped."""
    return repr(text)[1:-1]


def token_text(tokenizer: Tokenizer, id_: int) -> str:
    """Return the text of a token; of a separator its name, of a piece of a character its bytes."""
    text = tokenizer.decode([id_])
    if "\ufffd" in text and tokenizer.byte_table[id_]:
        return "".join(f"<0x{byte:02X}>" for byte in tokenizer.byte_table[id_])
    return text or (tokenizer.eot_token if id_ == tokenizer.eot_id else "")


def listed(unit: Mapping[str, Any], side: str) -> str:
    """Return the tokens that a unit raises or lowers, for a table; a dash where no straight way leads to the head."""
    return " ".join(f"'{shown(token)}'" for token in unit[side]) if side in unit else "-"


def in_context(text: Mapping[str, Any]) -> str:
    """Return a plain `Moved` on one line, its token marked."""
    return f"{shown(text['before'])}«{shown(text['token'])}»{shown(text['after'])}"


def check_has_units(point: str, setting: str) -> None:
    """Raise ConfigError for a point or pattern of attention whose axes are not [batch, time, ...]."""
    if point.endswith(BY_HEAD):
        raise ConfigError(f"{setting}: '{point}' holds no vector of a token; choose points such as block.*.residual")


def most_moving(
    values: np.ndarray, ids: np.ndarray, tokenizer: Tokenizer, *, count: int, context: int, usual: float = 0.0
) -> list[Moved]:
    """Return the places of rows ids [rows, T] where values [rows, T] are farthest from `usual`, one a row at most.

    What is shown around a place is `context` tokens to each side, inside its row.
    """
    far = np.abs(values - usual)
    best = far.argmax(axis=1)
    found = []
    for row in np.argsort(-far.max(axis=1), kind="stable")[:count]:
        place = int(best[row])
        before, after = ids[row, max(0, place - context) : place], ids[row, place + 1 : place + 1 + context]
        found.append(
            Moved(
                value=float(values[row, place]),
                before=tokenizer.decode(before.tolist()),
                token=token_text(tokenizer, int(ids[row, place])),
                after=tokenizer.decode(after.tolist()),
            )
        )
    return found


def histogram(values: np.ndarray) -> dict[str, Any]:
    """Return how often values [n] lie in each of `BINS` equal steps from the least to the largest."""
    counts, edges = np.histogram(values, bins=BINS)
    return {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])}


def direction_of(model: LanguageModel, point: str, unit: Tensor) -> Tensor | None:
    """Return what a vector `unit` of a point adds to what the last norm reads, [D]; None where no straight way leads.

    Of a hidden neuron that is its column of the down product; of the residual stream, and of what layers add to it, the
    vector itself. The states of an RNN reach the head directly from its last layer alone. ConfigError where the neurons
    are shared out among processes.
    """
    block, name = (point.split(".", 2)[1:]) if point.startswith("block.") else ("", point)
    last = block == str(len(model.blocks) - 1)
    if name == "hidden" or (isinstance(model, RNN) and name == "output" and last):
        return unit
    if not isinstance(model, Transformer):
        return None
    if name == "feed_forward.hidden":
        down = model.get_submodule(f"blocks.{block}.feed_forward.down")
        weight = whole(down.get_parameter("weight"))  # [D, F]
        if isinstance(down, LoRALinear):
            weight = weight + down.scale * (whole(down.lora_B) @ whole(down.lora_A))
        if weight.shape[1] != len(unit):
            raise ConfigError(
                f"{point} has {weight.shape[1]} units, and this process holds {len(unit)} of them; look at the "
                "checkpoints afterwards with prospero analyse"
            )
        return weight @ unit.to(weight)
    return unit if name in STRAIGHT else None


def promoted(
    model: LanguageModel, point: str, direction: Tensor, tokenizer: Tokenizer, count: int
) -> Mapping[str, Sequence[str]]:
    """Return the tokens whose logits a direction [D] raises, and lowers, most; the last norm counts as its gain."""
    if isinstance(model, Transformer) and point != "hidden":
        centred = direction - direction.mean() if isinstance(model.norm, LayerNorm) else direction
        direction = centred.to(model.device) * whole(model.norm.weight)
    logits = whole(model.output_weight()).float() @ direction.float()  # [V]
    order = logits.argsort(descending=True, stable=True).tolist()

    sides = {"raised": order[:count], "lowered": order[::-1][:count]}
    return {side: [token_text(tokenizer, id_) for id_ in ids] for side, ids in sides.items()}
