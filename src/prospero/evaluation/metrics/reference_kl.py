"""How far the model has moved from its reference on the chosen answers."""

from dataclasses import dataclass

from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.evaluation.metrics.preference import pairs_of
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class ReferenceKLConfig:
    """val/reference_kl: mean log(pi / pi_reference) of a token of the chosen answers, in nats; 0 at the start.

    The KL of the model to its reference where the answers are its own; on answers of others, how much likelier or
    (below 0) less likely it has made them, which DPO is known to do to both answers of a pair.
    """

    def build(self, facts: MetricFacts) -> "ReferenceKL":
        """Return the metric."""
        return ReferenceKL()


class ReferenceKL(TokenMetric):
    """Sum of the chosen answers' log-ratios / number of their tokens."""

    of_pairs = True
    total: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("total", "tokens")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the chosen answers of a batch."""
        pairs = pairs_of(scores)
        self.total += masked_sum(pairs.log_ratios[:, 0], pairs.real)
        self.tokens += masked_sum(pairs.tokens[:, 0], pairs.real)

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.tokens
