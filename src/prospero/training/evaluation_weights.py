"""Weights that a run is judged by when they are not the last ones: an average of them, kept beside them.

They are in every checkpoint under EVALUATION_WEIGHTS, at no cost in bytes when another entry holds the same tensors.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prospero.errors import DataError
from prospero.optim.sharded import local
from prospero.spread import is_spread
from prospero.training.gathered import reshard

EVALUATION_WEIGHTS = "evaluation_weights"


class WeightSwap:
    """Puts other weights in the place of a model's own for a while; each process its part."""

    def __init__(self) -> None:
        self._kept: list[Tensor] | None = None

    @property
    def inside(self) -> bool:
        """Whether the other weights are in place now."""
        return self._kept is not None

    @torch.no_grad()
    def enter(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Put `weights`, by parameter name and cut as the parameters are, in their place."""
        if self._kept is not None:
            return
        reshard(model)
        self._kept = [local(p.detach()).clone() for p in model.parameters()]
        for name, p in model.named_parameters():
            local(p).copy_(local(weights[name]))

    @torch.no_grad()
    def leave(self, model: nn.Module) -> None:
        """Put the model's own weights back, bit for bit."""
        if self._kept is None:
            return
        reshard(model)  # what was gathered for the evaluation is not the model's own
        for p, kept in zip(model.parameters(), self._kept):
            local(p).copy_(kept)
        self._kept = None


@torch.no_grad()
def restore(weights: Mapping[str, Tensor], saved: Mapping[str, Any]) -> None:
    """Fill `weights` with saved ones: tensors, or stored ones that are cut as `weights` are."""
    if saved.keys() != weights.keys():
        odd = sorted(saved.keys() ^ weights.keys())
        raise DataError(f"the average in the checkpoint is of another model: it differs in {odd[0]}")
    for name, weight in weights.items():
        stored = saved[name]
        whole = stored if isinstance(stored, Tensor) else stored.like(weight)
        local(weight).copy_(local(_cut_like(whole, weight)))


def _cut_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor laid out as `like` is; of a whole one every process has the same."""
    if not is_spread(like) or is_spread(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
