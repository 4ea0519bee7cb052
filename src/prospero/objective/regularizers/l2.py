"""L2: half the squared norm of the weights, inside the loss."""

from dataclasses import dataclass

from torch import Tensor

from prospero.objective.regularizers.base import ParameterRegularizer, RegularizerConfig, local_part, sum_over_mesh


@dataclass(kw_only=True, slots=True)
class L2Config(RegularizerConfig):
    """L2 in the loss: R = 1/2 sum theta^2, added to the gradient as lambda theta.

    Its gradient passes through the optimiser, so Adam divides it by its second moment, clipping counts it and momentum
    averages it. The `weight_decay` of adamw, lion and muon is another thing: it shrinks the weights apart from the
    gradient (Loshchilov & Hutter 2019, arXiv:1711.05101). With plain SGD the two are the same.
    """

    weight: float = 1e-4
    """lambda; the gradient gets lambda theta, as from torch's coupled `weight_decay=lambda`."""

    def build(self) -> "L2":
        """Return the regulariser."""
        return L2(self)


class L2(ParameterRegularizer):
    """1/2 sum theta^2 over the decayed parameters."""

    def value(self) -> Tensor:
        """Return R."""
        return 0.5 * sum_over_mesh((p, local_part(p).square().sum()) for p in self.parameters.values())
