"""Ranking answers: the best and the worst of them, and why there is no pair."""

import pytest

from prospero.errors import ConfigError
from prospero.evaluation.metrics.collection import text_metrics_of
from prospero.evaluation.metrics.exact_match import ExactMatchConfig
from prospero.evaluation.metrics.pass_at_k import PassAtKConfig
from prospero.evaluation.metrics.repetition import RepetitionConfig
from prospero.evaluation.metrics.rouge import RougeConfig
from prospero.evaluation.ranking import Better, Pair, Ranker


def ranker(by: str | None, *, better: Better = Better.auto, margin: float = 0.0, references: bool = True) -> Ranker:
    chosen = {"repetition": RepetitionConfig(n=1), "exact_match": ExactMatchConfig(), "rouge": RougeConfig()}
    return Ranker(list(text_metrics_of(chosen).values()), by, better, margin=margin, references=references)


def test_the_least_repeated_is_chosen_and_the_most_repeated_rejected():
    pair = ranker("repetition").pair(["a a a b", "a b c d", "a a b c", "x x x x"], "p", [])
    assert pair == Pair(chosen=1, rejected=3, chosen_score=0.0, rejected_score=0.75)


def test_the_other_end_may_be_the_better_one_and_length_needs_no_metric():
    answers = ["abc", "a", "abcd"]
    assert ranker("length").pair(answers, "p", []) == Pair(2, 1, 4.0, 1.0)
    assert ranker("length", better=Better.lower).pair(answers, "p", []) == Pair(1, 2, 1.0, 4.0)
    only = Ranker([], None, Better.auto, margin=0.0, references=False)
    assert only.by == "length"


def test_a_reference_tells_which_is_right():
    assert ranker("exact_match").pair(["five", "four", "six"], "2 + 2", ["four"]) == Pair(1, 0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("answers", "margin", "reason"),
    [
        (["a b", " ", ""], 0.0, "empty answers"),
        (["a b", "a b", ""], 0.0, "equal answers"),
        (["a b", "c d"], 0.0, "a tie"),
        (["a a b c", "a b c d"], 0.25, "a tie"),
    ],
)
def test_what_gives_no_pair(answers, margin, reason):
    assert ranker("repetition", margin=margin).pair(answers, "p", []) == reason


def test_answers_without_a_score_give_no_pair():
    """Runs of four words are in none of these texts."""
    metrics = list(text_metrics_of({"repetition": RepetitionConfig(n=4)}).values())
    one = Ranker(metrics, "repetition", Better.auto, margin=0.0, references=False)
    assert one.pair(["a b", "c"], "p", []) == "no score"


def test_what_cannot_rank():
    with pytest.raises(ConfigError, match="by=rougel is not measured"):
        ranker("rougel")
    with pytest.raises(ConfigError, match="choose one of repetition"):
        ranker(None)
    with pytest.raises(ConfigError, match="give reference="):
        ranker("exact_match", references=False)
    several = list(text_metrics_of({"pass_at_k": PassAtKConfig()}).values())
    by = several[0].quantities[0].name
    with pytest.raises(ConfigError, match="all answers together"):
        Ranker(several, by, Better.auto, margin=0.0, references=True)
