"""Metrics that compare a text with one reference at a time: a sample has the score of its best one."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from prospero.evaluation.measurement import ratio
from prospero.evaluation.metrics.text_base import TextMetric, TextSample


class BestReferenceMetric(TextMetric):
    """Statistics of a sample: the score with its best reference, and 1; implement `score`."""

    needs_references = True

    @abstractmethod
    def score(self, prediction: str, reference: str) -> float:
        """Return how well a text agrees with a reference, from 0 to 1."""

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return the best score of each sample; nothing where a sample has no reference."""
        rows = [
            (max(self.score(sample.prediction, reference) for reference in sample.references), 1)
            if sample.references
            else (0, 0)
            for sample in samples
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return the mean."""
        return ratio(sums)
