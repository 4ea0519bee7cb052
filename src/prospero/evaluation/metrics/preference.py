"""Preferences: how often, and by how much, the chosen answer is worth more than the rejected one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.errors import DataError
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.objective.terms import MeasuredPairs, MeasuredTokens


@dataclass(kw_only=True, slots=True)
class PreferenceConfig:
    """val/preference/accuracy, /margin, /chosen_reward and /rejected_reward: means over the pairs, of loss=dpo."""

    def build(self, facts: MetricFacts) -> "Preference":
        """Return the metric."""
        return Preference()


class Preference(TokenMetric):
    """Means over pairs of the implicit rewards, their difference, and whether it is above 0 (a tie: half)."""

    higher_is_better = True
    of_pairs = True
    parts = ("accuracy", "margin", "chosen_reward", "rejected_reward")
    accuracy: Tensor
    margin: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums(*self.parts, "pairs")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the pairs of a batch."""
        pairs = pairs_of(scores)
        chosen, rejected = pairs.rewards.unbind(-1)
        right = (chosen > rejected).float() + 0.5 * (chosen == rejected).float()
        self.accuracy += masked_sum(right, pairs.real)
        self.margin += masked_sum(chosen - rejected, pairs.real)
        self.chosen_reward += masked_sum(chosen, pairs.real)
        self.rejected_reward += masked_sum(rejected, pairs.real)
        self.pairs += pairs.real.sum()

    def compute(self) -> dict[str, Tensor]:
        """Return the means by name."""
        sums = (self.accuracy, self.margin, self.chosen_reward, self.rejected_reward)
        return dict(zip(self.parts, (torch.stack(sums) / self.pairs).unbind()))


def pairs_of(scores: MeasuredTokens) -> MeasuredPairs:
    """Return the pairs of a batch; DataError where it has none."""
    if scores.pairs is None:
        raise DataError("a metric of preferences was given a batch without pairs; it measures runs with loss=dpo")
    return scores.pairs
