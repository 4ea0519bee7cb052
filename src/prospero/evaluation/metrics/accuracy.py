"""Accuracy: how often the likeliest token is the next one."""

from dataclasses import dataclass

from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class AccuracyConfig:
    """val/accuracy: the share of targets that the model thinks likeliest, from 0 to 1."""

    def build(self, facts: MetricFacts) -> "Accuracy":
        """Return the metric."""
        return Accuracy()


class Accuracy(TokenMetric):
    """Number of targets that are the likeliest token / number of targets."""

    higher_is_better = True
    reads = frozenset({"predicted"})
    correct: Tensor
    targets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("correct", "targets")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Count the hits of a batch."""
        assert scores.predicted is not None, "it is in `reads`"
        self.correct += masked_sum(scores.predicted == batch.labels, scores.mask)
        self.targets += scores.mask.sum()

    def compute(self) -> Tensor:
        """Return the share."""
        return self.correct / self.targets
