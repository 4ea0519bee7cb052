"""pass@k: the numbers of the estimator, and that it is the mean over all ways to draw."""

import math
from itertools import combinations

import numpy as np
import pytest

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.pass_at_k import PassAtKConfig, pass_at_k
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


def sample(passed: int, n: int) -> TextSample:
    return TextSample(predictions=["x"] * n, passed=[place < passed for place in range(n)])


@pytest.mark.parametrize(("k", "value"), [(1, 0.15), (5, 0.6009), (10, 0.8947)])
def test_three_of_twenty(k, value):
    assert pass_at_k(20, 3, k) == pytest.approx(value, abs=5e-5)


def test_it_is_the_share_of_draws_that_hold_a_right_program():
    for n in range(1, 8):
        for passed in range(n + 1):
            for k in range(1, n + 1):
                draws = list(combinations(range(n), k))
                share = sum(any(place < passed for place in draw) for draw in draws) / len(draws)
                assert pass_at_k(n, passed, k) == pytest.approx(share, abs=1e-12)


def test_two_thousand_programs_do_not_overflow():
    exact = 1 - math.comb(1990, 100) / math.comb(2000, 100)
    assert pass_at_k(2000, 10, 100) == pytest.approx(exact, rel=1e-12)


def test_the_metric_is_the_mean_over_problems_and_skips_what_was_not_run():
    metric = PassAtKConfig(k=[1, 2]).build(FACTS)
    metric.update([sample(1, 4), TextSample(predictions=["not run"])])
    metric.update([sample(4, 4), sample(0, 2)])
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found == pytest.approx({"pass_at_k_1": (0.25 + 1 + 0) / 3, "pass_at_k_2": (0.5 + 1 + 0) / 3}, abs=1e-7)
    assert [quantity.higher_is_better for quantity in metric.quantities] == [True, True]


def test_sums_of_many_problems_are_exact_in_any_order():
    metric = PassAtKConfig(k=[1, 3, 7]).build(FACTS)
    rows = metric.statistics([sample(number % 24, 23) for number in range(5000)])
    assert (rows.sum(axis=0) == np.add.reduce(rows[::-1])).all()
    assert [math.fsum(column) for column in rows.T] == [sum(column.tolist()) for column in rows.T]


def test_nothing_run_is_no_number():
    metric = PassAtKConfig(k=[1]).build(FACTS)
    assert math.isnan(float(metric.compute()["pass_at_k_1"]))


def test_fewer_programs_than_k_are_refused():
    metric = PassAtKConfig(k=[1, 5]).build(FACTS)
    with pytest.raises(ConfigError, match=r"^pass@5 needs 5 programs for each problem and the task writes n=4; raise"):
        metric.update([sample(1, 4)])


@pytest.mark.parametrize("k", [[], [0], [1, 1]])
def test_impossible_k_are_refused(k):
    with pytest.raises(ConfigError, match=r"^pass_at_k: k="):
        PassAtKConfig(k=k)
