"""Runs of words, with exact numbers."""

import pytest

from prospero.data.cleaning.word_runs import WordRuns


def test_ratios_of_runs_of_words():
    runs = WordRuns(["aa", "b", "aa", "b", "aa", "b", "cc", "dd"])
    assert runs.top_ratio(2) == pytest.approx(3 * 3 / 13)  # "aa b", three times three characters of thirteen
    assert runs.repeated_ratio(2) == pytest.approx(6 / 13)  # the second and third "aa b" stand in repeated runs
    assert WordRuns(["a", "b", "c", "d", "e", "f"]).top_ratio(2) == 0.0
    assert WordRuns([]).repeated_ratio(5) == 0.0


def test_runs_that_come_more_than_once_count_with_all_their_copies():
    runs = WordRuns(["aa", "b", "aa", "b", "cc"])  # aab baa aab bcc: the first and the third are one
    assert runs.copied_ratio(2) == pytest.approx(6 / 12)
    assert runs.copied_ratio(1) == pytest.approx(6 / 8)
    assert runs.copied_ratio(3) == 0.0 and runs.copied_ratio(9) == 0.0 and WordRuns([]).copied_ratio(5) == 0.0


@pytest.mark.parametrize(
    ("text", "most"),
    [("a", 1), ("a b c", 1), ("x a a a y", 3), ("a b a b a b a", 3), ("a b c a b c d d", 2), ("a b c d " * 9, 9)],
)
def test_what_follows_itself(text, most):
    runs = WordRuns(text.split())
    assert most == 1 or runs.follows_itself(most, 13)
    assert not runs.follows_itself(most + 1, 13)


def test_longer_periods_are_not_looked_for():
    runs = WordRuns(["a", "b", "c", "a", "b", "c"])
    assert runs.follows_itself(2, 3) and not runs.follows_itself(2, 2)
