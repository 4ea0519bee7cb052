"""What all metrics of validation share: sums over tokens, so that neither batches nor ranks change the result."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from prospero.batch import Batch
from prospero.objective.terms import MeasuredTokens

SUM_DTYPE = torch.float32 if torch.backends.mps.is_available() else torch.float64  # MPS has no float64
"""The type of the running sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """The argument of every metric's `build`: what is known once the data are prepared."""

    token_bytes: np.ndarray
    """int32 [V]: the UTF-8 bytes of each token."""
    seq_len: int
    """Positions of a sequence."""
    source_names: list[str] = field(default_factory=list)
    """The sources of the text, in the order of the numbers in `batch.facts["source_ids"]`."""
    outputs_dir: str = "outputs"
    """The folder that holds the runs: a metric may score with a model of one."""
    by_source: bool = False
    """Whether the text is a mixture, of which loss and bits per byte are shown of each source."""


class TokenMetric(Metric):
    """A metric that is computed from sums over target tokens; implement `update` and `compute`.

    The sums are torchmetrics' own states, added up over the ranks when `compute` is called; they run, so that an
    evaluation of any length keeps a handful of numbers. `compute` returns a number, or several by name: they are
    published as `val/<name>` and `val/<name>/<part>`. NaN means that nothing was measured, and is left out.
    """

    higher_is_better: bool = False
    is_differentiable = False
    full_state_update = False
    reads: frozenset[str] = frozenset()
    """Which of `predicted`, `entropy` and `logits` of MeasuredTokens it reads."""
    of_pairs: bool = False
    """Whether it measures pairs of a chosen and a rejected answer, which a loss of pairs alone makes."""
    published: str | None = None
    """The name under which it is published; None: the one under which it was chosen."""
    parts: tuple[str, ...] = ()
    """The names of what `compute` returns when it returns several numbers."""

    def add_sums(self, *names: str, size: int | None = None) -> None:
        """Make running sums called `names`: numbers, or vectors of `size`."""
        for name in names:
            self.add_state(name, torch.zeros(() if size is None else size, dtype=SUM_DTYPE), dist_reduce_fx="sum")

    @abstractmethod
    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Take the scores of one micro-batch."""

    @abstractmethod
    def compute(self) -> "Tensor | dict[str, Tensor]":
        """Return the metric over all that was taken in, on all ranks."""

    def __hash__(self) -> int:
        """Tell metrics apart as objects: torchmetrics hashes the states, which change."""
        return id(self)

    def __eq__(self, other: Any) -> bool:
        return self is other


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Return the sum of `values` where `mask` is true, in the type of the running sums."""
    return torch.where(mask, values, 0).sum(dtype=SUM_DTYPE)
