"""Confidence penalty: the negative entropy of the predictions, which punishes certainty."""

from dataclasses import dataclass

from torch import Tensor

from prospero.objective.regularizers.base import RegularizerConfig, TokenRegularizer
from prospero.objective.terms import TokenScores


@dataclass(kw_only=True, slots=True)
class ConfidencePenaltyConfig(RegularizerConfig):
    """Confidence penalty: R = mean of -H(p), the negative entropy in nats (Pereyra et al. 2017, arXiv:1701.06548)."""

    weight: float = 0.1
    """lambda (beta in the paper)."""

    def build(self) -> "ConfidencePenalty":
        """Return the regulariser."""
        return ConfidencePenalty(self)


class ConfidencePenalty(TokenRegularizer):
    """sum_v p_v log p_v of each token."""

    reads = frozenset({"expected_logit"})

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the negative entropy of each token, [N]."""
        assert scores.expected_logit is not None, "it is in `reads`"
        return scores.expected_logit - scores.log_sum_exp
