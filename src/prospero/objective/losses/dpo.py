"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and two of its kin.

With h = (log pi(c) - log pi_ref(c)) - (log pi(r) - log pi_ref(r)) of a chosen answer c and a rejected one r:

    sigmoid   -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h); e = 0 is equation 7 of the paper, e > 0 the
              conservative form for pairs of which a share e is labelled the wrong way round (Mitchell 2023)
    ipo       (h' - 1 / (2 beta))^2 (Azar et al. 2023, arXiv:2310.12036, equation 17), where h' is h of the mean
              log-probability of a token in place of the sum over an answer, as the authors have it since and TRL does
"""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.errors import ConfigError
from prospero.objective.losses.base import LossConfig
from prospero.objective.losses.pair import PairLoss, PairLossConfig, PairScores


class Variant(Enum):
    """The function of the difference of log-ratios."""

    sigmoid = "sigmoid"
    ipo = "ipo"


@dataclass(kw_only=True, slots=True)
class DPOConfig(PairLossConfig):
    """Learn from pairs of a chosen and a rejected answer, against the model that init_from gave as the reference."""

    beta: float = 0.1
    """How strongly the model is held to the reference, above 0; the smaller, the further it may go."""
    variant: Variant = Variant.sigmoid
    """sigmoid (DPO), or ipo, which aims at a margin of 1 / (2 beta) a token in place of one without end."""
    label_smoothing: float = 0.0
    """The share of pairs that may be labelled the wrong way round, from 0 to below 0.5; of sigmoid alone."""

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        if not 0 < self.beta < float("inf"):
            raise ConfigError(f"loss.dpo.beta={self.beta} cannot be; give a number above 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"loss.dpo.label_smoothing={self.label_smoothing} cannot be; give 0 or more, below 0.5")
        if self.label_smoothing and self.variant is Variant.ipo:
            raise ConfigError("loss.dpo.label_smoothing is of variant=sigmoid; leave it out for ipo")

    def build(self) -> "DPO":
        """Return the loss."""
        return DPO(self)


class DPO(PairLoss):
    """See the head of this file."""

    def __init__(self, config: DPOConfig) -> None:
        super().__init__(config)
        self.beta, self.label_smoothing = config.beta, config.label_smoothing
        self.length_normalized = config.variant is Variant.ipo

    def rewards(self, pairs: PairScores) -> Tensor:
        """Return beta x log-ratio, [B, 2]; of ipo beta x mean log-ratio of a token."""
        ratios = pairs.log_ratios / pairs.tokens if self.length_normalized else pairs.log_ratios
        return self.beta * ratios

    def per_pair(self, pairs: PairScores) -> Tensor:
        """Return the loss of each pair, [B]."""
        chosen, rejected = self.rewards(pairs).unbind(-1)
        margin = chosen - rejected
        if self.length_normalized:
            return torch.square(margin / self.beta - 1 / (2 * self.beta))
        return -(1 - self.label_smoothing) * F.logsigmoid(margin) - self.label_smoothing * F.logsigmoid(-margin)
