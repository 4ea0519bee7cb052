"""How tensors of ours and of theirs correspond: by name alone, transposed, several in one, or with a fold.

A rule stands for the weight and the bias of a module; `{i}` in a name is the number of the layer. It is used both ways:
`split` makes ours of one of theirs, `join` makes one of theirs of ours. Where a fold is exact in float32, so is the way
there and back.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from prospero.model.transformer import TransformerConfig


@dataclass(frozen=True, slots=True)
class Layout:
    """What a rule may need to know."""

    ours: TransformerConfig
    theirs: Mapping[str, Any]
    """Their config.json."""
    sizes: tuple[int, ...] = ()
    """Rows of each of our tensors."""


Split = Callable[[Tensor, Layout], list[Tensor]]
Join = Callable[[list[Tensor], Layout], Tensor]


def _one(tensor: Tensor, layout: Layout) -> list[Tensor]:
    return [tensor]


def _only(tensors: list[Tensor], layout: Layout) -> Tensor:
    return tensors[0]


@dataclass(frozen=True, slots=True)
class Rule:
    """Modules of ours that are one module of theirs."""

    ours: tuple[str, ...]
    theirs: str
    split: Split = _one
    join: Join = _only
    has_bias: Callable[[Mapping[str, Any]], bool] | None = None
    """Whether their module has a bias, by their config.json, where ours may have none: zeros are then written."""

    @property
    def in_layers(self) -> bool:
        """Whether it stands for a module of every layer."""
        return "{i}" in self.theirs


def always(theirs: Mapping[str, Any]) -> bool:
    """A bias that their class has whatever its settings."""
    return True


def by_key(name: str) -> Callable[[Mapping[str, Any]], bool]:
    """A bias that their class has when the key `name` says so."""
    return lambda theirs: bool(theirs[name])


def same(ours: str, theirs: str, has_bias: Callable[[Mapping[str, Any]], bool] | None = None) -> Rule:
    """One module under two names."""
    return Rule((ours,), theirs, has_bias=has_bias)


def stacked(ours: tuple[str, ...], theirs: str) -> Rule:
    """Several matrices of ours, one below the other."""
    return Rule(ours, theirs, lambda t, layout: list(t.split(layout.sizes)), lambda ts, layout: torch.cat(ts))


def transposed(ours: tuple[str, ...], theirs: str) -> Rule:
    """As `stacked`, and stored as input x output (GPT-2's Conv1D), with a key and a value for each query."""

    def join(tensors: list[Tensor], layout: Layout) -> Tensor:
        c = layout.ours
        repeats = c.n_heads // (c.n_kv_heads or c.n_heads)
        if len(tensors) == 3 and repeats > 1:
            width = c.head_width
            tensors = [tensors[0]] + [
                t.unflatten(0, (-1, width)).repeat_interleave(repeats, dim=0).flatten(0, 1) for t in tensors[1:]
            ]
        return torch.cat(tensors).t()

    return Rule(ours, theirs, lambda t, layout: list(t.t().split(layout.sizes)), join, always)


def per_head(ours: tuple[str, ...], theirs: str, has_bias: Callable[[Mapping[str, Any]], bool]) -> Rule:
    """Queries, keys and values of one head after those of another (GPT-NeoX)."""

    def split(tensor: Tensor, layout: Layout) -> list[Tensor]:
        parts = tensor.unflatten(0, (layout.ours.n_heads, len(ours), layout.ours.head_width))
        return [part.flatten(0, 1) for part in parts.unbind(1)]

    def join(tensors: list[Tensor], layout: Layout) -> Tensor:
        shape = (layout.ours.n_heads, layout.ours.head_width)
        return torch.stack([tensor.unflatten(0, shape) for tensor in tensors], dim=1).flatten(0, 2)

    return Rule(ours, theirs, split, join, has_bias)


def times(rule: Rule, factor: Callable[[Layout], float]) -> Rule:
    """`rule`, with a factor of theirs folded into ours."""

    def split(tensor: Tensor, layout: Layout) -> list[Tensor]:
        return [t if factor(layout) == 1 else t.float() * factor(layout) for t in rule.split(tensor, layout)]

    def join(tensors: list[Tensor], layout: Layout) -> Tensor:
        return rule.join([t if factor(layout) == 1 else t / factor(layout) for t in tensors], layout)

    return replace(rule, split=split, join=join)


def plus_one(ours: str, theirs: str) -> Rule:
    """A norm that multiplies with 1 + weight (Gemma)."""
    return Rule((ours,), theirs, lambda t, layout: [t.float() + 1], lambda ts, layout: ts[0].float() - 1)


def without_first_rows(ours: str, theirs: str, rows: int) -> Rule:
    """A table whose first rows are never read (OPT's positions)."""
    return Rule(
        (ours,),
        theirs,
        lambda t, layout: [t[rows:]],
        lambda ts, layout: torch.cat((ts[0].new_zeros(rows, ts[0].shape[1]), ts[0])),
    )


def scale_of_queries(layout: Layout) -> float:
    """Gemma divides scores by sqrt(query_pre_attn_scalar) and ours by sqrt(H): what makes up for it."""
    scalar = layout.theirs.get("query_pre_attn_scalar") or layout.ours.head_width
    return math.sqrt(layout.ours.head_width / scalar)
