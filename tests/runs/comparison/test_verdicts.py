"""Verdicts: their words, exactly, and which test they are of."""

import math

import numpy as np
import pytest

from prospero.runs.comparison.verdicts import Measurements, OverSamples, decimals, judge, p_text


def of(name: str, *values: float, seeds=None) -> Measurements:
    return Measurements(name=name, values=values, seeds=seeds or list(range(1, len(values) + 1)))


def text(*settings: Measurements, higher=False, **how) -> list[str]:
    return [verdict.text for verdict in judge(settings, higher_is_better=higher, **how)]


def test_a_difference_that_is_real():
    a, b = of("A", 1.000, 1.010, 0.990, 1.004), of("B", 1.032, 1.040, 1.021, 1.036)
    assert text(b, a) == ["A beats B by 0.0312 (95 % 0.0297 to 0.0328, p < 0.001)"]
    assert text(b, a, higher=True) == ["B beats A by 0.0312 (95 % 0.0297 to 0.0328, p < 0.001)"]


def test_without_the_same_order_of_data_the_seeds_are_no_pairs():
    a, b = of("A", 1.000, 1.010, 0.990, 1.004), of("B", 1.032, 1.040, 1.021, 1.036)
    found = judge([a, b], higher_is_better=False, same_order=lambda a, b: False)[0]
    assert found.test == "Welch"
    assert found.text == "A beats B by 0.031 (95 % 0.017 to 0.046, p = 0.002)"


def test_pairs_are_found_by_their_seeds_whatever_their_order():
    a, b = of("A", 1.0, 2.0, 3.0, seeds=[1, 2, 3]), of("B", 3.1, 1.1, 2.1, seeds=[3, 1, 2])
    found = judge([a, b], higher_is_better=False)[0]
    assert (found.test, found.value) == ("paired t", pytest.approx(0.1))
    others = of("B", 3.1, 1.1, 2.1, seeds=[4, 1, 2])
    assert judge([a, others], higher_is_better=False)[0].test == "Welch"


def test_a_difference_that_may_be_chance_says_how_many_seeds_would_tell():
    a, b = of("A", 1.00, 1.10, 0.90), of("B", 1.10, 1.08, 1.04)
    assert text(a, b) == ["A and B: not separable with these 3 seeds; about 13 would be needed"]
    c = of("C", 1.0, 1.1, 0.9, 1.0, 1.0)
    assert text(a, c, same_order=lambda a, b: False)[0].endswith(
        "not separable with these 3 and 5 seeds; more than 1,000 would be needed"
    )


def test_one_seed_each_is_no_verdict_but_the_samples_of_an_evaluation_tell_of_the_two_runs():
    a, b, c = of("A", 1.0), of("B", 2.0), of("C", 1.0, 2.0)
    assert text(a, b) == ["A and B: no verdict over seeds, both have one seed; give seed=1,2,3"]
    assert text(a, c) == ["A and C: no verdict over seeds, A has one seed; give seed=1,2,3"]
    found = OverSamples(value=-1.0, low=-1.4, high=-0.6, p=0.004, items=50)
    about = "; one seed each, so this is about these two runs only"
    assert text(a, b, over_samples=lambda a, b: found) == [
        f"A beats B by 1.00 (95 % 0.60 to 1.40, p = 0.004) over 50 samples{about}"
    ]
    found = OverSamples(value=-0.2, low=-0.6, high=0.2, p=0.3, items=50)
    assert text(a, b, over_samples=lambda a, b: found) == [
        f"A and B: not separable with these 50 samples; about 409 would be needed{about}"
    ]


def test_values_that_do_not_spread_have_no_verdict():
    assert text(of("A", 1, 1, 1), of("B", 2, 2, 2)) == ["A and B: no verdict, the values do not spread (3 seeds)"]


def test_the_best_against_the_rest_bears_the_correction_for_all_pairs():
    generator = np.random.default_rng(1)
    settings = [of(f"S{k}", *(generator.normal(k / 10, 0.1, 5))) for k in range(4)]
    alone = {v.worse: v.p for v in (judge([settings[0], s], higher_is_better=False)[0] for s in settings[1:])}
    found = judge(settings, higher_is_better=False)
    assert [verdict.worse for verdict in found] == ["S1", "S2", "S3"]
    assert found[2].p == pytest.approx(6 * alone["S3"]), "the smallest of six"
    assert all(verdict.p >= alone[verdict.worse] for verdict in found)


def test_the_best_of_many_without_a_difference_is_called_better_in_at_most_5_percent():
    generator = np.random.default_rng(2)
    families = [[of(str(k), *generator.normal(size=4)) for k in range(4)] for _ in range(1000)]
    found = [any(verdict.separable for verdict in judge(family, higher_is_better=True)) for family in families]
    assert np.mean(found) <= 0.06


def test_a_number_that_is_nan_comes_last_and_has_no_verdict():
    found = judge([of("A", math.nan, 1.0), of("B", 2.0, 2.1)], higher_is_better=False)[0]
    assert (found.better, found.worse) == ("B", "A") and not found.separable


@pytest.mark.parametrize(("width", "digits"), [(0.038, 3), (0.4, 2), (25.0, 0), (0.0, 4), (math.nan, 4)])
def test_decimals_follow_the_width(width, digits):
    assert decimals(width) == digits


def test_p_is_never_rounded_over_the_level():
    assert [p_text(p) for p in (0.0004, 0.0021, 0.0497, 0.31)] == ["p < 0.001", "p = 0.002", "p = 0.0497", "p = 0.310"]
