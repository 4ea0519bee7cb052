"""Optimisers that keep other weights than those they train: what is evaluated, kept and shared are these."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class HasEvaluationWeights(Protocol):
    """An optimiser whose average of the weights is what a run is judged by (schedule-free ones)."""

    def evaluation_weights(self) -> dict[nn.Parameter, Tensor]:
        """Return the average by parameter, cut as the parameter is; without those that have not been stepped yet."""
        ...
