"""Label smoothing: a little of the target's probability is spread over the whole vocabulary."""

from dataclasses import dataclass

from torch import Tensor

from prospero.errors import ConfigError
from prospero.objective.regularizers.base import RegularizerConfig, TokenRegularizer
from prospero.objective.terms import TokenScores


@dataclass(kw_only=True, slots=True)
class LabelSmoothingConfig(RegularizerConfig):
    """Label smoothing (Szegedy et al. 2016, arXiv:1512.00567) as a term of its own.

    R = mean_v(-log p_v) + log p_label. Cross-entropy plus epsilon R is torch's cross_entropy(label_smoothing=epsilon),
    while the cross-entropy itself stays visible in the logs.
    """

    weight: float = 0.1
    """epsilon, the share of the target's probability that is spread; at most 1."""

    def __post_init__(self) -> None:
        RegularizerConfig.__post_init__(self)
        if self.weight > 1:
            raise ConfigError(f"weight={self.weight} is not a share of a probability; give a number from 0 to 1")

    def build(self) -> "LabelSmoothing":
        """Return the regulariser."""
        return LabelSmoothing(self)


class LabelSmoothing(TokenRegularizer):
    """mean_v(-log p_v) - (-log p_label) = logit of the label - mean logit."""

    reads = frozenset({"mean_logit"})

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the term of each token, [N]."""
        assert scores.mean_logit is not None, "it is in `reads`"
        return scores.target_logit - scores.mean_logit
