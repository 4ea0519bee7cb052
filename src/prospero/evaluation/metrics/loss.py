"""The loss that training minimises, without regularisers."""

from dataclasses import dataclass

from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class LossMetricConfig:
    """val/loss: the mean of the weighted losses over target tokens (nats with cross_entropy), or over pairs. Always
    measured."""

    def build(self, facts: MetricFacts) -> "LossMetric":
        """Return the metric."""
        return LossMetric()


class LossMetric(TokenMetric):
    """Sum of the loss / number of targets; of pairs, their number."""

    total: Tensor
    targets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("total", "targets")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the losses of a batch."""
        loss, counted = (scores.loss, scores.mask) if scores.pairs is None else (scores.pairs.loss, scores.pairs.real)
        self.total += masked_sum(loss, counted)
        self.targets += counted.sum()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.targets
