"""Exact match: the share of texts that equal a reference."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.best_reference import BestReferenceMetric
from prospero.evaluation.metrics.words import squad


class Spelling(Enum):
    """Which differences do not count."""

    exact = "exact"
    """None: every character counts."""
    spaces = "spaces"
    """How many spaces and line ends stand between words and around them."""
    squad = "squad"
    """Case, ASCII punctuation, a/an/the and spaces, as SQuAD has it; it makes one of 1.5 and 15, and of -3 and 3."""


@dataclass(kw_only=True, slots=True)
class ExactMatchConfig:
    """The share of texts that equal one of their references, 0 to 1."""

    spelling: Spelling = Spelling.spaces
    """Which differences do not count: exact, spaces or squad (published question answering)."""

    def build(self, facts: MetricFacts) -> "ExactMatch":
        """Return the metric."""
        return ExactMatch(_NORMAL_FORMS[self.spelling])


def _single_spaces(text: str) -> str:
    return " ".join(text.split())


_NORMAL_FORMS: dict[Spelling, Callable[[str], str]] = {
    Spelling.exact: str,
    Spelling.spaces: _single_spaces,
    Spelling.squad: squad,
}


class ExactMatch(BestReferenceMetric):
    """Number of texts that equal a reference / number of texts."""

    name = "exact_match"

    def __init__(self, normal_form: Callable[[str], str]) -> None:
        super().__init__()
        self.normal_form = normal_form

    def score(self, prediction: str, reference: str) -> float:
        """Return 1 where the two are the same."""
        return float(self.normal_form(prediction) == self.normal_form(reference))
