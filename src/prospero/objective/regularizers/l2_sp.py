"""L2-SP: the distance to the starting point, which keeps a fine-tuned model near where it began."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.objective.regularizers.base import ParameterRegularizer, RegularizerConfig, local_part, sum_over_mesh


@dataclass(kw_only=True, slots=True)
class L2SPConfig(RegularizerConfig):
    """L2-SP: R = 1/2 sum (theta - theta_0)^2, theta_0 the starting weights (Li et al. 2018, arXiv:1802.01483)."""

    weight: float = 1e-2
    """lambda; the gradient gets lambda (theta - theta_0)."""

    def build(self) -> "L2SP":
        """Return the regulariser."""
        return L2SP(self)


class L2SP(ParameterRegularizer):
    """1/2 sum (theta - theta_0)^2 over the decayed parameters; holds one copy of them (of this rank's shards)."""

    anchors: dict[str, Tensor]

    def bind(self, parameters: dict[str, Tensor]) -> None:
        """Take the parameters and keep a copy of their values as the starting point."""
        self.parameters = parameters
        self.anchors = {name: p.detach().clone() for name, p in parameters.items()}

    def value(self) -> Tensor:
        """Return R."""
        pairs = ((p, self.anchors[name]) for name, p in self.parameters.items())
        return 0.5 * sum_over_mesh((p, (local_part(p) - local_part(anchor)).square().sum()) for p, anchor in pairs)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the starting point by parameter name."""
        return dict(self.anchors)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back the starting point of the run that is resumed."""
        if state.keys() != self.anchors.keys():
            odd = sorted(state.keys() ^ self.anchors.keys())
            raise ValueError(f"the saved starting point has other parameters than the model, for example {odd[0]}")
        with torch.no_grad():
            for name, anchor in self.anchors.items():
                anchor.copy_(state[name])
