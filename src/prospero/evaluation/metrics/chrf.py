"""ChrF: how many runs of characters a text shares with a reference, with sacrebleu's own counts and formula."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics.chrf import CHRF

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample


@dataclass(kw_only=True, slots=True)
class ChrfConfig:
    """ChrF2 of all texts together, 0 to 100 (Popović 2015; the numbers of sacrebleu)."""

    char_order: int = 6
    """The longest run of characters."""
    word_order: int = 0
    """The longest run of words counted too: 2 gives chrF++."""
    beta: int = 2
    """How much more recall weighs than precision."""
    lowercase: bool = False
    """Whether case does not count."""

    def __post_init__(self) -> None:
        for name, least in (("char_order", 1), ("word_order", 0), ("beta", 1)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}={value} counts nothing; give {least} or more")

    def build(self, facts: MetricFacts) -> "Chrf":
        """Return the metric."""
        return Chrf(
            _Sacrebleu(char_order=self.char_order, word_order=self.word_order, beta=self.beta, lowercase=self.lowercase)
        )


class _Sacrebleu(CHRF):
    """Sacrebleu's chrF, opened between its counts and its formula."""

    def counts(self, prediction: str, references: Sequence[str]) -> list[int]:
        """Return (n-grams of the text, of the reference, of both) for each order, for the best reference."""
        return self._extract_corpus_statistics([prediction], [[reference] for reference in references])[0]

    def value(self, counts: Sequence[float]) -> float:
        """Return chrF of summed counts."""
        return self._compute_score_from_stats(list(counts)).score  # type: ignore[arg-type]


class Chrf(TextMetric):
    """Statistics of a sample: for each order the n-grams of the text, of the best reference and of both; and 1."""

    name = "chrf"
    needs_references = True

    def __init__(self, counter: _Sacrebleu) -> None:
        self.n_statistics = 3 * counter.order + 1
        super().__init__()
        self.counter = counter

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return what sacrebleu counts in each sample; nothing where a sample has no reference."""
        return np.array([self._counts(sample) for sample in samples], dtype=np.float64).reshape(-1, self.n_statistics)

    def _counts(self, sample: TextSample) -> list[float]:
        if not sample.references:
            return [0] * self.n_statistics
        return [*self.counter.counts(sample.prediction, sample.references), 1]

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return chrF of the sums."""
        return np.apply_along_axis(self._finish, -1, np.asarray(sums))

    def _finish(self, sums: np.ndarray) -> float:
        return self.counter.value(sums[:-1].tolist()) if sums[-1] else float("nan")
