"""Perplexity: the exponential of the mean nats per token."""

from dataclasses import dataclass

from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.objective.terms import MeasuredTokens

_GREATEST_EXPONENT = 700.0  # beyond, a double overflows


@dataclass(kw_only=True, slots=True)
class PerplexityConfig:
    """val/perplexity: exp(mean of -log p(label)); only comparable between runs of one tokenizer."""

    def build(self, facts: MetricFacts) -> "Perplexity":
        """Return the metric."""
        return Perplexity()


class Perplexity(TokenMetric):
    """exp(sum of nats / number of targets)."""

    nats: Tensor
    targets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("nats", "targets")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the nats of a batch."""
        self.nats += masked_sum(scores.nats, scores.mask)
        self.targets += scores.mask.sum()

    def compute(self) -> Tensor:
        """Return the perplexity."""
        return (self.nats / self.targets).clamp(max=_GREATEST_EXPONENT).exp()
