"""Edit similarity: how little must be typed to make a reference of a text."""

from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.best_reference import BestReferenceMetric


@dataclass(kw_only=True, slots=True)
class EditSimilarityConfig:
    """The mean of 1 - edits / characters of the longer text, with the best reference, 0 to 1 (Levenshtein 1966)."""

    def build(self, facts: MetricFacts) -> "EditSimilarity":
        """Return the metric."""
        return EditSimilarity()


class EditSimilarity(BestReferenceMetric):
    """Sum of 1 - insertions, deletions and replacements of characters / the longer length, / number of texts."""

    name = "edit_similarity"

    def score(self, prediction: str, reference: str) -> float:
        """Return the similarity; two empty texts are the same."""
        return Levenshtein.normalized_similarity(prediction, reference)
