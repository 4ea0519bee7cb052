"""What all losses of preferences share: they look at two answers to one prompt, the chosen and the rejected one.

Legend: B pairs; the last dimension of 2 is (chosen, rejected).
"""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.terms import TokenScores


@dataclass(kw_only=True, slots=True)
class PairLossConfig(LossConfig):
    """A loss of pairs: a run has one at most, and learns from rendering=preferences packing=pairs."""


@dataclass(slots=True)
class PairScores:
    """What a loss sees of B pairs."""

    policy: Tensor
    """float32 [B, 2]: the log-probability of each answer under the model that learns; connected to the graph."""
    reference: Tensor
    """float32 [B, 2]: the same under the frozen reference."""
    tokens: Tensor
    """float32 [B, 2]: the tokens of each answer, its separator included; 1 where there is no answer."""

    @property
    def log_ratios(self) -> Tensor:
        """log pi(answer) - log pi_reference(answer), [B, 2]."""
        return self.policy - self.reference


class PairLoss(Loss):
    """A loss as a sum over pairs; implement `per_pair` and `rewards`. It is the objective's to divide by the pairs."""

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return -log p(label) of each token, [N]: the negative of what `PairScores` sums over an answer."""
        return scores.log_sum_exp - scores.target_logit

    @abstractmethod
    def per_pair(self, pairs: PairScores) -> Tensor:
        """Return the loss of each pair, [B] float32."""

    @abstractmethod
    def rewards(self, pairs: PairScores) -> Tensor:
        """Return the implicit rewards, [B, 2]: what the loss takes as the worth of each answer."""
