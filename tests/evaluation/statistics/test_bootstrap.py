"""Intervals and paired differences by the bootstrap: what they cover, and what they say where there is little."""

import numpy as np
import pytest
from scipy import stats

from prospero.evaluation.measurement import mean, ratio
from prospero.evaluation.statistics import bootstrap
from prospero.evaluation.statistics.bootstrap import interval, paired_difference


def values(numbers) -> np.ndarray:
    numbers = np.asarray(numbers, dtype=np.float64)
    return np.stack([numbers, np.ones(len(numbers))], axis=1)


def test_a_mean_of_many_has_the_interval_of_its_standard_error():
    numbers = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = interval(values(numbers), mean, resamples=20_000)
    expected = stats.t.interval(0.95, 399, numbers.mean(), stats.sem(numbers))
    assert (low, high) == pytest.approx(expected, abs=0.02)


def test_the_same_seed_gives_the_same_interval_whatever_the_size_of_the_pieces(monkeypatch):
    rows = values(np.random.default_rng(2).exponential(size=37))
    first = interval(rows, mean, seed=3)
    assert interval(rows, mean, seed=3) == first
    assert interval(rows, mean, seed=4) != first
    monkeypatch.setattr(bootstrap, "MOST_WEIGHTS", 37 * 7)
    assert interval(rows, mean, seed=3) == first


def test_fewer_than_two_items_have_no_interval():
    for rows in (np.zeros((0, 2)), values([2.0])):
        assert np.isnan(interval(rows, mean)).all()
    difference, *rest = paired_difference(values([2.0]), values([0.5]), mean)
    assert difference == 1.5 and np.isnan(rest).all()
    assert np.isnan(paired_difference(np.zeros((0, 2)), np.zeros((0, 2)), mean)).all()


def test_twenty_right_answers_of_twenty_are_not_certainty():
    low, high = interval(values(np.ones(20)), mean)
    assert (low, high) == pytest.approx((20 / (20 + 1.959964**2), 1.0), abs=1e-6)


def test_nothing_measured_is_no_number():
    assert np.isnan(interval(np.zeros((10, 2)), ratio)).all()
    some = values([1.0, 2.0, 4.0, 3.0])
    some[1:] = 0.0  # most resamples lack the one item that counts something; those that hold it agree
    assert interval(some, ratio) == (1.0, 1.0)


def test_models_without_a_difference_on_any_item_are_equal():
    rows = values(np.random.default_rng(5).normal(size=30))
    assert paired_difference(rows, rows.copy(), mean) == (0.0, 0.0, 0.0, 1.0)


def test_a_pair_cancels_what_makes_an_item_hard():
    generator = np.random.default_rng(6)
    hard, small = generator.normal(0, 5, 80), generator.normal(0.3, 0.2, 80)
    difference, low, high, p = paired_difference(values(hard + small), values(hard), mean)
    assert difference == pytest.approx(small.mean())
    assert 0.2 < low < difference < high < 0.4 and p < 0.001


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_p_is_that_of_the_interval(share: float):
    generator = np.random.default_rng(7)
    said = []
    for shift in np.linspace(-0.6, 0.6, 41):
        a = values(generator.exponential(size=25) + shift)
        b = values(generator.exponential(size=25))
        _, low, high, p = paired_difference(a, b, mean, share=share, resamples=999)
        said.append(low > 0 or high < 0)
        assert said[-1] == (p < 1 - share) or abs(p - (1 - share)) < 0.004
    assert any(said) and not all(said)


def test_rows_of_different_items_are_refused():
    with pytest.raises(ValueError, match="same items"):
        paired_difference(values([1, 2]), values([1, 2, 3]), mean)
