"""Soft orthogonality: every weight matrix is drawn towards orthonormal rows (or columns)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.objective.regularizers.base import ParameterRegularizer, RegularizerConfig, whole


@dataclass(kw_only=True, slots=True)
class OrthogonalityConfig(RegularizerConfig):
    """R = sum of |G - I|^2 over matrices, G the smaller Gram matrix of each (Bansal et al. 2018, arXiv:1810.09102)."""

    weight: float = 1e-4
    """lambda."""

    def build(self) -> "Orthogonality":
        """Return the regulariser."""
        return Orthogonality(self)


class Orthogonality(ParameterRegularizer):
    """sum_W |W W^T - I|_F^2 (W^T W when W has more rows than columns) over the decayed parameters.

    Sharded matrices are gathered one after the other: every rank computes every Gram matrix.
    """

    def value(self) -> Tensor:
        """Return R."""
        return torch.stack([gram_distance(whole(p).flatten(1)) for p in self.parameters.values()]).sum()


def gram_distance(weight: Tensor) -> Tensor:
    """Return |W W^T - I|_F^2 with the smaller of the two Gram matrices; `weight` is [rows, columns]."""
    short = weight if weight.shape[0] <= weight.shape[1] else weight.T
    with torch.autocast(weight.device.type, enabled=False):
        gram = short.float() @ short.float().T
    return (gram - torch.eye(gram.shape[0], device=gram.device)).square().sum()
