"""Confidence penalty: the negative entropy of the predictions, which punishes certainty."""

from dataclasses import dataclass

import torch
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

    uses_logits = True

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the negative entropy of each token, [N]."""
        log_p = scores.logits.float() - scores.log_sum_exp[:, None]
        return torch.linalg.vecdot(log_p.exp(), log_p)
