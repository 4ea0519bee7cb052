"""The loss that training minimises, without regularisers."""

from dataclasses import dataclass

from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class LossMetricConfig:
    """val/loss: the mean over target tokens of the weighted losses; nats with cross_entropy. Always measured."""

    def build(self, facts: MetricFacts) -> "LossMetric":
        """Return the metric."""
        return LossMetric()


class LossMetric(TokenMetric):
    """Sum of the loss / number of targets."""

    total: Tensor
    targets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("total", "targets")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the losses of a batch."""
        self.total += masked_sum(scores.loss, scores.mask)
        self.targets += scores.mask.sum()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.targets
