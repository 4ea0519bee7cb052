"""Ranks by hand, filtered and with ties; log-probabilities of candidates that are followed from one beginning."""

import math

import pytest

from prospero.errors import ConfigError
from prospero.evaluation.tasks import ranking
from prospero.evaluation.tasks.likelihood import endings, log_likelihoods
from prospero.evaluation.tasks.ranking import candidate_log_likelihoods, rank
from tests.evaluation.tasks.fakes import END, subject

TABLE = {"?": {"a": 0.5, "b": 0.125}, "a": {"b": 0.25, ".": 0.5}, "b": {"a": 0.5, ".": 0.25}, END: {"?": 1.0}}


def test_ranks_by_hand():
    scores = [-1.0, -3.0, -2.0, -2.0]
    assert [rank(scores, place) for place in range(4)] == [1.0, 4.0, 2.5, 2.5]
    assert rank(scores, 1, frozenset({0, 2})) == 2.0, "other right answers do not count against it"
    assert rank(scores, 2, frozenset({3})) == 2.0
    assert rank([math.nan, -1.0, -math.inf], 0) == 3.0 and rank([-2.0, math.nan], 0) == 1.0
    assert rank([-math.inf, -math.inf], 0) == 1.5


def test_candidates_are_followed_from_one_beginning():
    nats, sizes = candidate_log_likelihoods(subject(TABLE), "x?", ["a.", "ab.", "b", "baba."])
    assert sizes == [2, 3, 1, 5]
    wanted = [0.5 * 0.5, 0.5 * 0.25 * 0.25, 0.125, 0.125 * 0.5 * 0.25 * 0.5 * 0.5]
    assert [math.exp(value) for value in nats] == pytest.approx(wanted)


def test_many_candidates_in_groups_as_each_alone(monkeypatch):
    monkeypatch.setattr(ranking, "AT_ONCE", 3)
    ends = ["a" * n + "b." * (n % 3) + "." for n in (5, 1, 9, 2, 2, 7, 3, 30)]
    together, _ = candidate_log_likelihoods(subject(TABLE), "x?", ends)
    alone = log_likelihoods(subject(TABLE), endings(subject(TABLE), "x?", ends))
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_end_of_a_long_beginning_counts_and_a_candidate_must_fit():
    tight = subject(TABLE, window=6)
    nats, _ = candidate_log_likelihoods(tight, "x" * 50 + "?", ["a.", "ab."])
    assert math.exp(nats[0]) == pytest.approx(0.25) and tight.decoder.longest <= 6
    with pytest.raises(ConfigError, match=r"a candidate has 6 tokens, and the model reads 6 at once"):
        candidate_log_likelihoods(tight, "?", ["aaaaa."])
