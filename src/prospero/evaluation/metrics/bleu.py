"""BLEU: how many runs of words of a text stand in its references, with sacrebleu's own counts and its own formula."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics.bleu import BLEU, MAX_NGRAM_ORDER

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample

TOKENIZERS = ("13a", "intl", "zh", "char", "none")
"""Sacrebleu's that need neither a download nor another package."""


@dataclass(kw_only=True, slots=True)
class BleuConfig:
    """BLEU of all texts together, 0 to 100 (Papineni et al. 2002; the numbers of sacrebleu, Post 2018)."""

    tokenize: str = "13a"
    """How sacrebleu cuts words: 13a, intl (Unicode), zh (Chinese), char (characters) or none (at spaces)."""
    lowercase: bool = False
    """Whether case does not count."""

    def __post_init__(self) -> None:
        if self.tokenize not in TOKENIZERS:
            raise ConfigError(f"there is no tokenize={self.tokenize}; choose one of {', '.join(TOKENIZERS)}")

    def build(self, facts: MetricFacts) -> "Bleu":
        """Return the metric."""
        return Bleu(tokenize=self.tokenize, lowercase=self.lowercase)


class Bleu(TextMetric):
    """Statistics of a sample: words, words of the closest reference, 4 x matches, 4 x n-grams, and 1."""

    name = "bleu"
    n_statistics = 2 + 2 * MAX_NGRAM_ORDER + 1
    needs_references = True

    def __init__(self, *, tokenize: str, lowercase: bool) -> None:
        super().__init__()
        # Of one text it is asked for the counts alone, which no smoothing may touch.
        self.counter = BLEU(tokenize=tokenize, lowercase=lowercase, smooth_method="none", effective_order=True)

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return what sacrebleu counts in each sample; nothing where a sample has no reference."""
        return np.array([self._counts(sample) for sample in samples], dtype=np.float64).reshape(-1, self.n_statistics)

    def _counts(self, sample: TextSample) -> list[float]:
        if not sample.references:
            return [0] * self.n_statistics
        found = self.counter.sentence_score(sample.prediction, sample.references)
        return [found.sys_len, found.ref_len, *found.counts, *found.totals, 1]

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return BLEU of the sums, smoothed as sacrebleu smooths a corpus (exp)."""
        return np.apply_along_axis(_bleu, -1, np.asarray(sums))


def _bleu(sums: np.ndarray) -> float:
    if sums[-1] == 0:
        return float("nan")
    words, reference_words, *counts = (int(count) for count in sums[:-1])
    matches, totals = counts[:MAX_NGRAM_ORDER], counts[MAX_NGRAM_ORDER:]
    return BLEU.compute_bleu(matches, totals, words, reference_words, smooth_method="exp").score
