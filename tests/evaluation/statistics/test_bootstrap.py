"""Intervals and paired differences by the bootstrap: what they cover, and what they say where there is little."""

import numpy as np
import pytest
from scipy import stats

from prospero.evaluation.measurement import mean, ratio
from prospero.evaluation.statistics import bootstrap
from prospero.evaluation.statistics.bootstrap import interval, paired_difference
from tests.grids import grid


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


def test_a_bounded_mean_that_was_0_throughout_has_the_interval_of_a_share():
    both = np.array([[0.0, 0.0, 1.0]] * 20)  # two numbers of one metric and the count, as pass@1 and pass@5 have
    assert interval(values([0.0] * 20), mean) == pytest.approx((0.0, 0.1611), abs=1e-4)
    for place in (0, 1):
        assert interval(both, lambda sums, place=place: sums[..., place] / sums[..., -1]) == pytest.approx(
            (0.0, 0.1611), abs=1e-4
        )


def test_items_that_all_give_the_same_number_tell_no_spread():
    assert np.isnan(interval(values([0.3] * 20), mean)).all()
    of_hundred = np.array([[0.0, 1.0]] * 20)
    assert np.isnan(interval(of_hundred, lambda sums: 100 * sums[..., 0] / sums[..., 1])).all()
    assert np.isnan(interval(np.array([[7.0, 7.0], [3.0, 3.0]]), ratio)).all()  # 1, but of how many is not known


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
    assert np.isnan(interval(some, ratio)).all()
    some[1] = (3.0, 1.0)
    assert interval(some, ratio) == (1.0, 3.0)  # resamples that hold neither are left out


def test_models_without_a_difference_on_any_item_are_equal():
    rows = values(np.random.default_rng(5).normal(size=30))
    assert paired_difference(rows, rows.copy(), mean) == (0.0, 0.0, 0.0, 1.0)


def test_a_pair_cancels_what_makes_an_item_hard():
    generator = np.random.default_rng(6)
    hard, small = generator.normal(0, 5, 80), generator.normal(0.3, 0.2, 80)
    difference, low, high, p = paired_difference(values(hard + small), values(hard), mean)
    assert difference == pytest.approx(small.mean())
    assert 0.2 < low < difference < high < 0.4 and p < 0.001


def test_interval_and_p_agree_but_near_the_level():
    generator = np.random.default_rng(7)
    said = []
    for shift in np.linspace(-0.6, 0.6, 41):
        a = values(generator.normal(size=25) + shift)
        b = values(generator.normal(size=25))
        _, low, high, p = paired_difference(a, b, mean)
        said.append(low > 0 or high < 0)
        assert said[-1] == (p < 0.05) or 0.03 < p < 0.07
    assert any(said) and not all(said)


def test_three_items_that_differ_are_the_exact_test_of_signs():
    a, b = values(np.ones(40)), values(np.ones(40))
    b[:3, 0] = 0
    expected = 2 * 0.5**3 / 2  # all three one way, or the other; a tie with what was seen counts half
    assert paired_difference(a, b, mean, resamples=20_000)[3] == pytest.approx(expected, abs=0.01)


def accuracies(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    chance = generator.beta(2, 2, size=n)
    return values(generator.random(n) < chance), values(generator.random(n) < chance)


def skewed(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    hard = generator.normal(size=n)
    return values(np.exp(hard + 0.5 * generator.normal(size=n))), values(np.exp(hard + 0.5 * generator.normal(size=n)))


def bits_per_byte(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of bits over the same bytes, for documents whose lengths differ widely."""
    n_bytes, hard = np.round(generator.lognormal(4, 0.7, size=n)) + 1, generator.normal(1, 0.2, size=n)
    a, b = (np.stack([n_bytes * (hard + generator.normal(0, 0.1, n)), n_bytes], axis=1) for _ in range(2))
    return a, b


def of_own_length(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Ratios whose denominators are each model's own, as those of what it has written are."""
    hard, both = generator.normal(1, 0.2, size=n), []
    for _ in range(2):
        length = np.round(generator.lognormal(3, 0.5, size=n)) + 1
        both.append(np.stack([length * (hard + generator.normal(0, 0.1, n)), length], axis=1))
    return both[0], both[1]


@pytest.mark.parametrize("draw", [accuracies, skewed, bits_per_byte, of_own_length])
@pytest.mark.parametrize("n", grid([50, 200], lambda n: n == 50))
def test_models_without_a_difference_are_called_different_in_about_5_percent(draw, n):
    generator = np.random.default_rng(n)
    p = [paired_difference(*draw(generator, n), ratio, resamples=499, seed=i)[3] for i in range(1000)]
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.07


def test_a_difference_of_two_standard_errors_is_found_as_often_as_theory_says():
    generator, n = np.random.default_rng(11), 100
    expected = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, 2.0)
    found = 0
    for i in range(1000):
        b = generator.normal(size=n)
        a = b + generator.normal(2 / np.sqrt(n), 1.0, size=n)
        found += paired_difference(values(a), values(b), mean, resamples=499, seed=i)[3] < 0.05
    assert found / 1000 == pytest.approx(expected, abs=0.05)


LEAST_COVERED = {10: 0.9, 20: 0.9, 50: 0.92, 200: 0.93}
"""Items -> the share of intervals that must hold the truth."""


@pytest.mark.parametrize(("n", "least"), grid(LEAST_COVERED.items(), lambda case: case[0] == 10))
def test_the_interval_of_a_mean_and_of_a_ratio_covers_the_truth(n, least):
    generator, hits = np.random.default_rng(n), np.zeros(2)
    for i in range(1000):
        low, high = interval(values(generator.normal(2.0, 1.0, n)), mean, resamples=499, seed=i)
        hits[0] += low <= 2.0 <= high
        n_bytes = generator.lognormal(3, 0.5, size=n)
        rows = np.stack([n_bytes * generator.normal(2.0, 0.5, size=n), n_bytes], axis=1)
        low, high = interval(rows, ratio, resamples=499, seed=i)
        hits[1] += low <= 2.0 <= high
    assert (hits / 1000 >= least).all() and (hits / 1000 <= 0.98).all()


def test_rows_of_different_items_are_refused():
    with pytest.raises(ValueError, match="same items"):
        paired_difference(values([1, 2]), values([1, 2, 3]), mean)
