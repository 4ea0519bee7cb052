"""The logit lens: what the head of a model would say of the residual stream after each layer (nostalgebraist 2020).

The stream after a layer goes through the last norm and the head, as if no layer came after it. Nothing is trained for
it, so that an early layer may speak another basis than the head reads (Belrose et al. 2023, arXiv:2303.08112); a large
distance there says that the head cannot read it, not that nothing is there.

Shapes: B rows, T places, D d_model, V vocabulary, C places of the stream (the embedding, then each layer), M tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.analysis.reading import layer_points, tokens_at_once
from prospero.batch import IGNORE_INDEX
from prospero.errors import ConfigError
from prospero.model.base import LanguageModel
from prospero.model.rnn import RNN
from prospero.model.transformer import Transformer

Reads = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LensNumbers:
    """What each place of the stream says of each token, float32; 0 where nothing is asked for."""

    nats: Tensor
    """-log p of the true next token, [C, B, T]."""
    kl: Tensor
    """KL(output || lens) in nats, [C, B, T]."""
    rank: Tensor
    """Rank of the true next token, 1: the likeliest, [C, B, T]."""
    agrees: Tensor
    """1 where the likeliest token is that of the output, [C, B, T]."""
    top: Tensor
    """The likeliest token, int64 [C, B, T]."""
    settled: Tensor
    """The first place from which on it agrees with the output, as a share of the way: 0 embedding, 1 last, [B, T]."""
    asked: Tensor
    """True where there is a next token, [B, T]."""


def lens_points(model: LanguageModel) -> list[str]:
    """Return the points that are read: the embedding where it has the stream's width, and the end of each block."""
    last_norm(model)
    return layer_points(model) if isinstance(model, RNN) else ["embedding", *layer_points(model)]


def last_norm(model: LanguageModel) -> Reads:
    """Return what stands between stream and head; ConfigError for a kind of model where that is not known."""
    if isinstance(model, Transformer):
        return model.norm
    if isinstance(model, RNN):
        return lambda x: x
    raise ConfigError(
        "the logit lens knows what the head of a Transformer and of an RNN reads, and not that of a "
        f"{type(model).__name__}"
    )


def lens(model: LanguageModel, stream: Sequence[Tensor], labels: Tensor) -> LensNumbers:
    """Return what the lens says at each place of the stream [B, T, D]; the last one is the output."""
    asked = labels != IGNORE_INDEX
    wanted, norm = labels[asked], last_norm(model)
    held = [x[asked] for x in stream]  # [M, D] each
    pieces, step = [], max(1, tokens_at_once(model) // 2)
    for start in range(0, max(1, len(wanted)), step):
        hidden = [norm(x[start : start + step]) for x in held]
        pieces.append(_of_tokens(model, hidden, wanted[start : start + step]))
    nats, kl, rank, top = (_spread(torch.cat(found, dim=1), asked) for found in zip(*pieces))
    agrees = (top == top[-1]) * asked.float()
    settled = settled_at(agrees) * asked
    return LensNumbers(nats=nats, kl=kl, rank=rank, agrees=agrees, top=top, settled=settled, asked=asked)


def settled_at(agrees: Tensor) -> Tensor:
    """Return the first place of [C, ...] from which on all agree, as a share of C - 1 (0 where C is 1)."""
    count = agrees.shape[0]
    trailing = agrees.flip(0).cumprod(dim=0).sum(dim=0)  # how many agree, from the last one back
    return (count - trailing).float() / max(1, count - 1)


def _of_tokens(model: LanguageModel, hidden: Sequence[Tensor], wanted: Tensor) -> tuple[Tensor, ...]:
    """Return nats, KL, ranks and likeliest tokens, [C, M] each, of what the head reads [M, D] at each place."""
    output, rows = model.project(hidden[-1]).float().log_softmax(dim=-1), []
    for x in hidden:
        said = output if x is hidden[-1] else model.project(x).float().log_softmax(dim=-1)
        true = said.gather(1, wanted[:, None])
        kl = (output.exp() * (output - said)).sum(dim=-1)
        rank = 1.0 + (said > true).sum(dim=-1)
        rows.append((-true.squeeze(1), kl, rank, said.argmax(dim=-1)))
    return tuple(torch.stack(found) for found in zip(*rows))


def _spread(values: Tensor, asked: Tensor) -> Tensor:
    """Put the values [C, M] of the tokens asked for where they stand, [C, B, T]."""
    out = values.new_zeros(len(values), *asked.shape)
    out[:, asked] = values
    return out
