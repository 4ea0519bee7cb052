"""z-loss: keeps the log of the softmax's normaliser near zero, so that logits do not drift."""

from dataclasses import dataclass

from torch import Tensor

from prospero.objective.regularizers.base import RegularizerConfig, TokenRegularizer
from prospero.objective.terms import TokenScores


@dataclass(kw_only=True, slots=True)
class ZLossConfig(RegularizerConfig):
    """z-loss: R = mean of log(Z)^2, Z the softmax's normaliser (PaLM, Chowdhery et al. 2022, arXiv:2204.02311)."""

    weight: float = 1e-4
    """lambda."""

    def build(self) -> "ZLoss":
        """Return the regulariser."""
        return ZLoss(self)


class ZLoss(TokenRegularizer):
    """The squared log-sum-exp of each token's logits."""

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return log(Z)^2 of each token, [N]."""
        return scores.log_sum_exp.square()
