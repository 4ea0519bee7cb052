"""Focal loss: cross-entropy in which tokens that the model already predicts well count less."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.terms import TokenScores


@dataclass(kw_only=True, slots=True)
class FocalConfig(LossConfig):
    """Focal loss: mean of (1 - p)^gamma x -log p, p the label's probability (Lin et al. 2017, arXiv:1708.02002)."""

    gamma: float = 2.0
    """How much less easy tokens count; 0 is cross-entropy."""

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        if not 0 <= self.gamma < float("inf"):
            raise ConfigError(f"gamma={self.gamma} would make easy tokens count more; give a number of 0 or more")

    def build(self) -> "Focal":
        """Return the loss."""
        return Focal(self)


class Focal(Loss):
    """(1 - p)^gamma x -log p of each token."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__(config)
        self.gamma = config.gamma

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the loss of each token, [N]; the gradient passes through both factors."""
        nats = scores.log_sum_exp - scores.target_logit
        # At p = 1 a power below 1 has no finite gradient; the smallest float32 step away from it has one.
        miss = (-torch.expm1(-nats)).clamp(min=torch.finfo(nats.dtype).eps)
        return miss.pow(self.gamma) * nats
