"""L1: the sum of absolute weights, which drives weights to zero."""

from dataclasses import dataclass

from torch import Tensor

from prospero.objective.regularizers.base import ParameterRegularizer, RegularizerConfig, local_part, sum_over_mesh


@dataclass(kw_only=True, slots=True)
class L1Config(RegularizerConfig):
    """L1 in the loss: R = sum |theta| (Tibshirani 1996)."""

    weight: float = 1e-6
    """lambda; the gradient gets lambda sign(theta)."""

    def build(self) -> "L1":
        """Return the regulariser."""
        return L1(self)


class L1(ParameterRegularizer):
    """sum |theta| over the decayed parameters; the subgradient at 0 is 0."""

    def value(self) -> Tensor:
        """Return R."""
        return sum_over_mesh((p, local_part(p).abs().sum()) for p in self.parameters.values())
