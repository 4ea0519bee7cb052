"""Tests over seeds: against scipy's own, their rate of false verdicts, their power, and Holm's family."""

import numpy as np
import pytest
from scipy import stats

from prospero.runs.comparison import significance
from prospero.runs.comparison.significance import (
    holm,
    interval_of_mean,
    paired,
    power,
    seeds_needed_paired,
    seeds_needed_welch,
    welch,
)

A, B = np.array([1.0, 2.0, 3.5]), np.array([2.0, 4.0, 7.0])
COMPARISONS = 1000


def test_welch_is_scipys():
    expected = stats.ttest_ind(A, B, equal_var=False)
    found, ends = welch(A, B), expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((ends.low, ends.high, expected.pvalue))


def test_the_paired_test_is_scipys():
    expected = stats.ttest_rel(A, B)
    found, ends = paired(A, B), expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((ends.low, ends.high, expected.pvalue))


def test_the_interval_of_a_mean():
    assert interval_of_mean(np.array([0.0, 1.0])) == pytest.approx((0.5 - 6.3531, 0.5 + 6.3531), abs=1e-4)
    assert np.isnan(interval_of_mean(np.array([1.0]))).all()


@pytest.mark.parametrize(("freedom", "expected"), {1: 12.706, 2: 4.303, 10: 2.228, 20: 2.086, 120: 1.980}.items())
def test_the_published_quantiles_of_student(freedom, expected):
    """Abramowitz and Stegun 26.10."""
    values = np.tile([-1.0, 1.0], freedom)[: freedom + 1]
    low, high = interval_of_mean(values)
    assert round((high - low) / 2 / stats.sem(values), 3) == expected


def test_values_that_do_not_spread_have_no_test():
    for test in (welch, paired):
        assert np.isnan(test(np.ones(3), np.full(3, 2.0)).p)
        assert np.isnan(test(np.ones(1), np.zeros(1)).p)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, np.nan]).tolist()[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm([0.01, np.nan])[1]) and holm([0.6, 0.7]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("seeds_a", "seeds_b", "spread"), [(3, 3, 1), (3, 3, 3), (5, 5, 1), (10, 10, 2), (3, 8, 1)])
def test_welch_sees_a_difference_where_there_is_none_in_about_5_percent(seeds_a, seeds_b, spread):
    generator = np.random.default_rng(seeds_a * seeds_b * spread)
    a = generator.normal(size=(COMPARISONS, seeds_a))
    b = generator.normal(scale=spread, size=(COMPARISONS, seeds_b))
    assert 0.03 <= (welch(a, b).p < 0.05).mean() <= 0.07


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_paired_test_sees_a_difference_where_there_is_none_in_about_5_percent(seeds):
    generator = np.random.default_rng(seeds)
    shared = generator.normal(scale=5, size=(COMPARISONS, seeds))
    a, b = (shared + generator.normal(size=(COMPARISONS, seeds)) for _ in range(2))
    assert 0.03 <= (paired(a, b).p < 0.05).mean() <= 0.07


@pytest.mark.parametrize("seeds", [3, 6, 20])
def test_two_standard_errors_are_found_as_often_as_theory_says(seeds):
    generator = np.random.default_rng(seeds)
    spread = np.sqrt(2.0)
    difference = 2 * spread / np.sqrt(seeds)  # of the difference of two means of unit spread
    a = generator.normal(difference, size=(20_000, seeds))
    b = generator.normal(size=(20_000, seeds))
    of_pairs = stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, 2.0)
    assert (paired(a, b).p < 0.05).mean() == pytest.approx(of_pairs, abs=0.012)
    assert power(difference, spread, seeds, seeds - 1) == pytest.approx(of_pairs, abs=1e-6)
    assert (welch(a, b).p < 0.05).mean() == pytest.approx(_power_of_welch(difference, seeds), abs=0.015)


def _power_of_welch(difference: float, seeds: int) -> float:
    """The chance that a normal mean lies beyond t standard errors, over chi-squared variances of two sides."""
    square = np.random.default_rng(99).chisquare(seeds - 1, size=(2, 50_000)) / (seeds - 1) / seeds
    freedom = (seeds - 1) * square.sum(axis=0) ** 2 / (square**2).sum(axis=0)
    bound, spread = stats.t.ppf(0.975, freedom) * np.sqrt(square.sum(axis=0)), np.sqrt(2 / seeds)
    return float((stats.norm.sf((bound - difference) / spread) + stats.norm.cdf((-bound - difference) / spread)).mean())


def test_the_seeds_that_are_said_to_be_needed_suffice():
    generator = np.random.default_rng(0)
    a, b = np.array([0.0, 1.0, 2.0]) + 1.3, np.array([0.5, 1.0, 1.5])
    needed = seeds_needed_welch(a, b)
    assert needed is not None and 7 <= needed <= 9
    found = welch(generator.normal(1.3, 1.0, (4000, needed)), generator.normal(0.0, 0.5, (4000, needed)))
    fewer = welch(generator.normal(1.3, 1.0, (4000, needed - 1)), generator.normal(0.0, 0.5, (4000, needed - 1)))
    assert (fewer.p < 0.05).mean() - 0.02 < 0.8 <= (found.p < 0.05).mean() + 0.02


def test_seeds_needed_at_the_edges():
    assert seeds_needed_paired(A, A) is None, "no difference"
    assert seeds_needed_paired(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0001])) is None
    assert seeds_needed_paired(np.array([101.0, 99.0, 100.2]), np.zeros(3)) == 2
    assert seeds_needed_welch(A, B, level=0.005) > seeds_needed_welch(A, B)


def test_holm_keeps_the_rate_of_the_family():
    """Four settings without a difference: some pair of the six is called different in at most 5 % of the families."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(COMPARISONS, 4, 5))
    pairs = [(a, b) for a in range(4) for b in range(a)]
    p = np.stack([welch(values[:, a], values[:, b]).p for a, b in pairs], axis=1)
    without = (p < 0.05).any(axis=1).mean()
    families = np.mean([(holm(row) < 0.05).any() for row in p])
    assert without > 0.12 and families <= 0.06


def test_power_without_a_number_from_scipy_is_the_normal_one():
    assert power(1.0, 1e-9, 5, 4.0) == 1.0
    assert significance.LEVEL + significance.SHARE == 1
