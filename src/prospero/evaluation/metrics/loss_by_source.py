"""The loss by the source of the text: which part of a mixture is learnt, and which is not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import SUM_DTYPE, MetricFacts, TokenMetric
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class LossBySourceConfig:
    """val/loss_by_source/<source>: the mean loss of the targets that come from each source of the text."""

    def build(self, facts: MetricFacts) -> "LossBySource":
        """Return the metric for the sources of the data."""
        return LossBySource(facts.source_names or ["all"])


def named_parts(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of sources as parts of a metric's name."""
    return tuple(re.sub(r"[\s,/]+", "_", name) for name in names)


def sources_of(mask: Tensor, batch: Batch) -> Tensor:
    """Return the number of the source of each position, int64 [B x T]; a batch that names none counts for the first."""
    sources = batch.facts.get("source_ids")
    return torch.zeros_like(mask, dtype=torch.int64) if sources is None else sources.flatten().long()


class LossBySource(TokenMetric):
    """Sum of the loss / number of targets, for each source; a batch that names none counts for the first."""

    total: Tensor
    targets: Tensor

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.parts = named_parts(names)
        self.add_sums("total", "targets", size=len(names))

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the losses of a batch to their sources."""
        mask = scores.mask.flatten()
        ids = sources_of(mask, batch)
        self.total.index_add_(0, ids, torch.where(mask, scores.loss.flatten(), 0).to(SUM_DTYPE))
        self.targets.index_add_(0, ids, mask.to(SUM_DTYPE))

    def compute(self) -> dict[str, Tensor]:
        """Return the mean of each source."""
        return dict(zip(self.parts, (self.total / self.targets).unbind()))
