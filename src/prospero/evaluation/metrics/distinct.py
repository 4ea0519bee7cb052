"""Distinct-n: how much of what is said is said for the first time in its text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.evaluation.metrics.words import ngrams, words_and_signs


@dataclass(kw_only=True, slots=True)
class DistinctConfig:
    """Different runs of 1, 2 and 3 words in each text / all its runs, pooled over the texts, 0 to 1.

    After Li et al. 2016 (arXiv:1510.03055), who count what is different over the whole corpus: that is no sum over
    texts, and falls with their number. Here a run counts as new once in each text.
    """

    def build(self, facts: MetricFacts) -> "Distinct":
        """Return the metric."""
        return Distinct()


class Distinct(TextMetric):
    """Statistics of a sample: for n of 1, 2 and 3 the different runs of n words and signs, and all of them."""

    name = "distinct"
    parts = ("1", "2", "3")
    n_statistics = 6

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return the counts of each sample."""
        rows = [counts(sample.prediction, (1, 2, 3)) for sample in samples]
        return np.array(rows, dtype=np.float64).reshape(-1, self.n_statistics)

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return different / all, of each n."""
        different, all_ = sums[..., 0::2], sums[..., 1::2]
        return np.divide(different, all_, out=np.full(all_.shape, np.nan), where=all_ != 0)


def counts(text: str, lengths: Sequence[int]) -> list[int]:
    """Return (different, all) runs of n words and signs, for each n of `lengths`, one after the other."""
    words = words_and_signs(text)
    runs = [ngrams(words, n) for n in lengths]
    return [count for found in runs for count in (len(found), found.total())]
