"""Repetition: how much of a text has stood in it before; what a model that runs in circles is told by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prospero.errors import ConfigError
from prospero.evaluation.measurement import ratio
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.distinct import counts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample


@dataclass(kw_only=True, slots=True)
class RepetitionConfig:
    """The share of runs of n words that have stood in their text before, pooled over the texts, 0 to 1.

    seq-rep-n of Welleck et al. 2020 (arXiv:1908.04319).
    """

    n: int = 4
    """Words and signs in a run."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n={self.n} is no number of words; give 1 or more")

    def build(self, facts: MetricFacts) -> "Repetition":
        """Return the metric."""
        return Repetition(self.n)


class Repetition(TextMetric):
    """Statistics of a sample: the runs of n words and signs that are no first ones, and all of them."""

    name = "repetition"
    higher_is_better = False

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return the counts of each sample."""
        found = np.array([counts(sample.prediction, [self.n]) for sample in samples], dtype=np.float64).reshape(-1, 2)
        return np.stack([found[:, 1] - found[:, 0], found[:, 1]], axis=1)

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return repeated / all."""
        return ratio(sums)
