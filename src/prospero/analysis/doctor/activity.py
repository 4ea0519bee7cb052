"""What the units and heads of a model do on some text. B sequences, T tokens, F units, N heads, H of a head, S keys."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prospero.model.adapters.lora import LoRALinear
from prospero.model.base import LanguageModel
from prospero.model.hooks import points, replace
from prospero.model.layers.attention import Attention

DORMANT = 0.025
"""A unit (or head) whose mean size is no more than this part of its layer's mean (tau of Sokar et al. 2023)."""
SINK = 0.3
"""A head that gives more of its weight than this to the first token (Gu et al. 2024, arXiv:2410.10781)."""
FIRST_QUERIES = 8
"""The first positions have few others to look at; their weights do not count."""


@dataclass(slots=True)
class Activity:
    """Sums over the text read so far, by the name of the point."""

    units: dict[str, Tensor] = field(default_factory=dict)
    """Sum of |h| of each unit, [F]."""
    heads: dict[str, Tensor] = field(default_factory=dict)
    """Sum of the squares of what each head adds to the residual stream, [N]."""
    sinks: dict[str, Tensor] = field(default_factory=dict)
    """Sum of the weight of the first token, [N]."""
    queries: dict[str, int] = field(default_factory=dict)
    """How many queries that sum has."""

    @property
    def dormant(self) -> dict[str, float]:
        """Layer -> share of its units that are dormant; a layer that gives nothing at all has no measure."""
        return {
            name: float((sums <= DORMANT * sums.mean()).float().mean())
            for name, sums in self.units.items()
            if sums.sum() > 0
        }

    @property
    def silent_heads(self) -> list[str]:
        """`b.n` of the heads that add next to nothing to what the heads of their block add."""
        found = []
        for name, sums in self.heads.items():
            sizes = sums.sqrt()
            silent = (sizes <= DORMANT * sizes.mean()) & (sizes.sum() > 0)
            found += [f"{name.split('.')[1]}.{head}" for head in silent.nonzero().flatten().tolist()]
        return found

    @property
    def sink_heads(self) -> list[str]:
        """`b.n` of the heads that look at the first token."""
        return [
            f"{name.split('.')[1]}.{head}"
            for name, sums in self.sinks.items()
            if self.queries[name]
            for head in (sums / self.queries[name] > SINK).nonzero().flatten().tolist()
        ]

    @property
    def n_heads(self) -> int:
        """Heads that were seen."""
        return sum(len(sums) for sums in self.heads.values())


@torch.no_grad()
def watch(model: LanguageModel, inputs: Iterable[Mapping[str, Any]]) -> Activity:
    """Read `inputs` (arguments of the forward pass, a batch at a time) and return what units and heads did.

    Sums are taken inside the pass, so that no attention matrix outlives its layer.
    """
    found = Activity()
    listeners: dict[str, Callable[[Tensor], Tensor]] = {}
    outputs = [_weight(module.out) for module in model.modules() if isinstance(module, Attention)]
    known = points(model)
    transformer = "block.0.feed_forward.hidden" in known
    units = re.compile(r"block\.\d+\." + (r"feed_forward\.hidden" if transformer else "output"))
    for name in known:
        if units.fullmatch(name):
            listeners[name] = _units(found, name)
        elif name.endswith("attention.heads"):
            listeners[name] = _heads(found, name, outputs[int(name.split(".")[1])])
        elif name.endswith("attention.weights"):
            listeners[name] = _weights(found, name)
    with replace(model, listeners):
        for arguments in inputs:
            model(**arguments, logits=False)
    return found


def _weight(layer: nn.Linear) -> Tensor:
    return layer.weight + layer.scale * layer.lora_B @ layer.lora_A if isinstance(layer, LoRALinear) else layer.weight


def _units(found: Activity, name: str) -> Callable[[Tensor], Tensor]:
    def listen(value: Tensor) -> Tensor:
        sums = value.detach().float().abs().sum(dim=tuple(range(value.dim() - 1)))
        found.units[name] = found.units.get(name, torch.zeros_like(sums)) + sums
        return value

    return listen


def _heads(found: Activity, name: str, weight: Tensor) -> Callable[[Tensor], Tensor]:
    def listen(value: Tensor) -> Tensor:  # [B, T, N, H]
        n, h = value.shape[-2:]
        added = torch.einsum("btnh,dnh->btnd", value.detach().float(), weight.float().unflatten(-1, (n, h)))
        sums = added.square().sum(dim=(0, 1, 3))
        found.heads[name] = found.heads.get(name, torch.zeros_like(sums)) + sums
        return value

    return listen


def _weights(found: Activity, name: str) -> Callable[[Tensor], Tensor]:
    def listen(value: Tensor) -> Tensor:  # [B, N, T, S]
        late = value.detach()[:, :, FIRST_QUERIES:, 0].float()
        found.sinks[name] = found.sinks.get(name, late.new_zeros(value.shape[1])) + late.sum(dim=(0, 2))
        found.queries[name] = found.queries.get(name, 0) + late.shape[0] * late.shape[2]
        return value

    return listen
