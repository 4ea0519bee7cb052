"""Repeated random tokens, and heads whose scores are known."""

import pytest
import torch

from prospero.analysis.repeated_tokens import induction_score, prefix_matching, repeated_rows, uniform_induction

PERIOD, REPEATS = 4, 3
T = PERIOD * REPEATS


def pattern(key_of) -> torch.Tensor:
    """A head that puts all of its attention on one key; on itself where there is none."""
    weights = torch.zeros(1, 1, T, T)
    for query in range(T):
        key = key_of(query)
        weights[0, 0, query, key if 0 <= key <= query else query] = 1
    return weights


def test_rows_repeat_and_depend_on_their_item_alone():
    allowed = list(range(10, 30))
    rows = repeated_rows(allowed, PERIOD, REPEATS, seed=1, items=[3, 5])
    assert rows.shape == (2, T) and rows[:, :PERIOD].tolist() == rows[:, PERIOD : 2 * PERIOD].tolist()
    assert set(rows.flatten().tolist()) <= set(allowed)
    assert len(set(rows[0].tolist())) == PERIOD
    assert rows[1].tolist() == repeated_rows(allowed, PERIOD, REPEATS, seed=1, items=[5])[0].tolist()
    assert rows[1].tolist() != repeated_rows(allowed, PERIOD, REPEATS, seed=2, items=[5])[0].tolist()


def test_a_vocabulary_smaller_than_the_period_repeats_tokens():
    assert set(repeated_rows([7, 8], 5, 2, seed=1, items=[0]).flatten().tolist()) <= {7, 8}


def test_a_perfect_induction_head():
    weights = pattern(lambda query: query - PERIOD + 1)
    assert induction_score(weights, PERIOD).tolist() == [[1.0]]
    assert prefix_matching(weights, PERIOD).tolist() == [[1.0]]


def test_the_earliest_occurrence_counts_for_prefix_matching():
    """Two periods back: seen from the third period on, and then by prefix matching alone."""
    weights = pattern(lambda query: query - 2 * PERIOD + 1)
    assert induction_score(weights, PERIOD).tolist() == [[0.0]]
    assert prefix_matching(weights, PERIOD).tolist() == [[pytest.approx(4 / 8)]]


def test_other_heads_score_nothing():
    for key_of in (lambda query: query, lambda query: query - 1, lambda query: query - PERIOD, lambda query: 0):
        weights = pattern(key_of)
        assert induction_score(weights, PERIOD).item() == 0 and prefix_matching(weights, PERIOD).item() == 0


def test_uniform_attention():
    weights = (torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]).expand(1, 1, T, T)
    assert induction_score(weights, PERIOD).item() == pytest.approx(uniform_induction(PERIOD))
    assert uniform_induction(2) == pytest.approx((1 / 3 + 1 / 4) / 2)
