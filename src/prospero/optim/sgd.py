"""Stochastic gradient descent with momentum."""

from dataclasses import dataclass

import torch
from torch import nn

from prospero.errors import ConfigError
from prospero.optim.adamw import check_at_least_zero, has_fused
from prospero.optim.param_groups import decay_groups


@dataclass(kw_only=True, slots=True)
class SGDConfig:
    """SGD with momentum (Polyak 1964; Nesterov's form as in Sutskever et al. 2013).

    `weight_decay` is coupled (added to the gradient), so it equals the regulariser `l2` of the same weight.
    """

    lr: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Share of the last update that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum."""
    weight_decay: float = 0.0
    """Factor of theta in the gradient (coupled L2); norms, biases and embeddings are left out."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, weight_decay=self.weight_decay)
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum={self.momentum} cannot be; give a number from 0 to below 1")
        if self.nesterov and self.momentum == 0:
            raise ConfigError("nesterov=true needs momentum above 0; set momentum=0.9, or nesterov=false")

    def build(self, model: nn.Module) -> torch.optim.SGD:
        """Return the optimiser over the model's decayed and undecayed group."""
        return torch.optim.SGD(
            decay_groups(model, self.weight_decay),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=has_fused(model.parameters()),
        )
