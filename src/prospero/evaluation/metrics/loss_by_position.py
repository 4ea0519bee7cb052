"""The loss by the place in the sequence: what more context is worth."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import SUM_DTYPE, MetricFacts, TokenMetric
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class LossByPositionConfig:
    """val/loss_by_position/<first>-<last>: the mean loss of the targets at these positions, counted from 0."""

    growth: int = 4
    """How much wider each range of positions is than all before it: 4 gives 0, 1-3, 4-15, 16-63 ..."""

    def __post_init__(self) -> None:
        if self.growth < 2:
            raise ConfigError(f"growth={self.growth} does not widen the ranges of positions; give 2 or more")

    def build(self, facts: MetricFacts) -> "LossByPosition":
        """Return the metric for sequences of `facts.seq_len`."""
        return LossByPosition(ranges_of_positions(facts.seq_len, self.growth))


def ranges_of_positions(seq_len: int, growth: int) -> list[tuple[int, int]]:
    """Return (first, last) of each range, together all positions of a sequence."""
    bounds = [0, 1]
    while bounds[-1] < seq_len:
        bounds.append(bounds[-1] * growth)
    bounds[-1] = seq_len
    return [(first, stop - 1) for first, stop in pairwise(bounds)]


class LossByPosition(TokenMetric):
    """Sum of the loss / number of targets, for each range of positions."""

    total: Tensor
    targets: Tensor
    starts: Tensor

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        super().__init__()
        self.parts = tuple(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)
        self.add_sums("total", "targets", size=len(ranges))
        self.register_buffer("starts", torch.tensor([first for first, _ in ranges]), persistent=False)

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the losses of a batch to their ranges."""
        time = torch.arange(scores.mask.shape[1], device=scores.mask.device)
        of_position = torch.searchsorted(self.starts, time, right=True) - 1  # [T]
        self.total.index_add_(0, of_position, torch.where(scores.mask, scores.loss, 0).sum(0, dtype=SUM_DTYPE))
        self.targets.index_add_(0, of_position, scores.mask.sum(0).to(SUM_DTYPE))

    def compute(self) -> dict[str, Tensor]:
        """Return the mean of each range."""
        return dict(zip(self.parts, (self.total / self.targets).unbind()))
