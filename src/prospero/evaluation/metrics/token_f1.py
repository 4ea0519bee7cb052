"""Token F1: how many words of an answer are right, and how many of the right words it has."""

from dataclasses import dataclass

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.best_reference import BestReferenceMetric
from prospero.evaluation.metrics.rouge import f_measure
from prospero.evaluation.metrics.words import Words, ngrams, squad, unicode_words


@dataclass(kw_only=True, slots=True)
class TokenF1Config:
    """The mean F1 over the words of an answer and of its best reference, 0 to 1 (SQuAD, Rajpurkar et al. 2016)."""

    words: Words = Words.ascii
    """ascii: SQuAD's own, what is left between spaces without case, ASCII punctuation and a/an/the; unicode: runs of
    letters and digits, where a script has no spaces each letter."""

    def build(self, facts: MetricFacts) -> "TokenF1":
        """Return the metric."""
        return TokenF1(self.words)


class TokenF1(BestReferenceMetric):
    """Sum of the F1 with the best reference / number of texts."""

    name = "token_f1"

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.split = unicode_words if words is Words.unicode else _squad_words

    def score(self, prediction: str, reference: str) -> float:
        """Return F1; an answer without words is right where its reference has none either (SQuAD 2)."""
        mine, theirs = (ngrams(self.split(text), 1) for text in (prediction, reference))
        if not mine or not theirs:
            return float(mine == theirs)
        return f_measure((mine & theirs).total(), mine.total(), theirs.total())


def _squad_words(text: str) -> list[str]:
    return squad(text).split()
