"""Cross-entropy of the next token, summed over target tokens."""

from dataclasses import dataclass

from torch import Tensor

from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.terms import TokenScores


@dataclass(kw_only=True, slots=True)
class CrossEntropyConfig(LossConfig):
    """Cross-entropy in nats: the mean over the target tokens of the whole global batch."""

    def build(self) -> "CrossEntropy":
        """Return the loss."""
        return CrossEntropy(self)


class CrossEntropy(Loss):
    """-log p(label) = log_sum_exp - logit of the label."""

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the nats of each token, [N]."""
        return scores.log_sum_exp - scores.target_logit
