"""ROUGE: the words, pairs of words and subsequences that a summary shares with a reference; rouge-score's own numbers.

It is computed here: the package rouge-score fills a table cell by cell (an hour for two texts of 100 000 words) and
takes two seconds to import. The tests hold the two equal.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.common_subsequence import CommonSubsequence
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.evaluation.metrics.words import Words, ngrams, splitter


@dataclass(kw_only=True, slots=True)
class RougeConfig:
    """ROUGE-1, -2, -L and -Lsum, the mean F over the texts, 0 to 1 (Lin 2004; the numbers of rouge-score)."""

    words: Words = Words.ascii
    """What a word is: ascii, as published numbers have it (0 for Chinese), or unicode."""
    stemmer: bool = False
    """Whether words are cut to their stems (Porter's, English); needs the package rouge-score."""

    def __post_init__(self) -> None:
        if self.stemmer and self.words is not Words.ascii:
            raise ConfigError("stemmer=true is for English and for words=ascii; leave one of them out")

    def build(self, facts: MetricFacts) -> "Rouge":
        """Return the metric; ConfigError when the stemmer is not installed."""
        return Rouge(_stems() if self.stemmer else splitter(self.words))


def _stems() -> Callable[[str], list[str]]:
    try:
        from rouge_score.tokenizers import DefaultTokenizer
    except ImportError as error:
        raise ConfigError("stemmer=true of rouge needs the package rouge-score: pip install rouge-score") from error
    return DefaultTokenizer(use_stemmer=True).tokenize


class Rouge(TextMetric):
    """Statistics of a sample: F of each part, each for the reference that is best for it; and 1."""

    name = "rouge"
    parts = ("1", "2", "l", "lsum")
    n_statistics = 5
    needs_references = True

    def __init__(self, split: Callable[[str], list[str]]) -> None:
        super().__init__()
        self.split = split

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return the F of each sample; nothing where a sample has no reference."""
        return np.array([self._best(sample) for sample in samples], dtype=np.float64).reshape(-1, self.n_statistics)

    def _best(self, sample: TextSample) -> list[float]:
        if not sample.references:
            return [0] * self.n_statistics
        text = _Text(sample.prediction, self.split)
        found = [scores(text, _Text(reference, self.split)) for reference in sample.references]
        return [*(max(of_part) for of_part in zip(*found)), 1]

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return the mean of each part."""
        counts = sums[..., -1:]
        return np.divide(sums[..., :-1], counts, out=np.full(sums[..., :-1].shape, np.nan), where=counts != 0)


class _Text:
    """A text as ROUGE reads it: its words, and those of each line."""

    def __init__(self, text: str, split: Callable[[str], list[str]]) -> None:
        self.words: list[Hashable] = [*split(text)]
        self.lines: list[list[Hashable]] = [[*split(line)] for line in text.split("\n") if line]


def scores(prediction: _Text, reference: _Text) -> tuple[float, float, float, float]:
    """Return F of ROUGE-1, -2, -L and -Lsum."""
    words, reference_words = prediction.words, reference.words
    in_order = CommonSubsequence([words]).length(reference_words)
    return (
        _f_of_ngrams(words, reference_words, 1),
        _f_of_ngrams(words, reference_words, 2),
        f_measure(in_order, len(words), len(reference_words)),
        _f_of_lines(prediction.lines, reference.lines),
    )


def f_measure(hits: int, of_text: int, of_reference: int) -> float:
    """Return 2 P R / (P + R) of precision hits / of_text and recall hits / of_reference; 0 where nothing hits."""
    if hits == 0:
        return 0.0
    precision, recall = hits / of_text, hits / of_reference
    return 2 * precision * recall / (precision + recall)


def _f_of_ngrams(words: Sequence[Hashable], reference: Sequence[Hashable], n: int) -> float:
    mine, theirs = ngrams(words, n), ngrams(reference, n)
    return f_measure((mine & theirs).total(), mine.total(), theirs.total())


def _f_of_lines(lines: Sequence[list[Hashable]], reference: Sequence[list[Hashable]]) -> float:
    """Return F of the summary-level subsequence (Lin 2004, section 3.2); as in ROUGE-1.5.5 no word counts twice."""
    mine, theirs = (Counter(word for line in side for word in line) for side in (lines, reference))
    n_mine, n_theirs = mine.total(), theirs.total()
    common, hits = CommonSubsequence(lines), 0
    for line in reference:
        for word in common.shared(line):
            if mine[word] > 0 and theirs[word] > 0:
                hits += 1
                mine[word] -= 1
                theirs[word] -= 1
    return f_measure(hits, n_mine, n_theirs)
