"""Whole numbers of sequences: never one away from what was asked, from any step on, to the end of a part."""

import math
import random
from fractions import Fraction
from itertools import pairwise

import pytest

from prospero.data.mixture.quotas import Quotas
from prospero.data.mixture.shares import Stage, shares_of
from prospero.errors import DataError


def stage(*weights, step=0):
    ones = [1] * len(weights)
    return Stage(step, shares_of(weights, ones, ones, None))


def steps_of(quotas, n):
    rows = [quotas.taken(step) for step in range(n + 1)]
    return [tuple(b - a for a, b in zip(*pair)) for pair in pairwise(rows)]


def test_each_step_has_its_whole_shares():
    assert steps_of(Quotas([stage(1, 3)], 8, [None, None]), 3) == [(2, 6)] * 3


def test_fractions_are_made_up_for_over_the_steps():
    assert steps_of(Quotas([stage(1, 3)], 2, [None, None]), 6) == [(1, 1), (0, 2)] * 3
    assert steps_of(Quotas([stage(1, 1, 1)], 1, [None] * 3), 6) == [(1, 0, 0), (0, 1, 0), (0, 0, 1)] * 2


def test_a_part_that_ends_leaves_its_share_to_the_others_within_the_step():
    quotas = Quotas([stage(2, 1, 1)], 8, [6, None, None])
    assert steps_of(quotas, 4) == [(4, 2, 2), (2, 3, 3), (0, 4, 4), (0, 4, 4)]
    assert quotas.last_steps == {0: 2}
    assert quotas.ends is None


def test_when_all_parts_end_the_whole_steps_end():
    quotas = Quotas([stage(1, 1)], 4, [5, 8])
    assert quotas.ends == 3
    assert quotas.taken(3) == (5, 7)
    with pytest.raises(DataError, match="no text for step 4: its max_epochs allow 3 steps"):
        quotas.taken(4)


def test_nothing_is_left_where_no_part_with_a_share_is():
    quotas = Quotas([stage(1, 1), stage(1, 0, step=3)], 4, [8, None])
    assert (quotas.ends, quotas.taken(3)) == (3, (6, 6))


def test_a_schedule_changes_the_shares_from_its_step_on():
    quotas = Quotas([stage(1, 3), stage(1, 1, step=2)], 4, [None, None])
    assert steps_of(quotas, 4) == [(1, 3), (1, 3), (2, 2), (2, 2)]


def random_case(draws):
    parts, size = draws.choice([1, 2, 3, 5, 9]), draws.choice([1, 2, 3, 8, 32])
    stages, step = [], 0
    for _ in range(draws.choice([1, 1, 2, 4])):
        weights = [draws.choice([0.0, 1, 2, 3, 0.1, 0.001, draws.random()]) for _ in range(parts)]
        stages.append(stage(*(weights if any(weights) else [1.0] * parts), step=step))
        step += draws.randint(1, 40)
    limits = [draws.choice([None, None, draws.randint(1, 200)]) for _ in range(parts)]
    return Quotas(stages, size, limits), lambda: Quotas(stages, size, limits)


@pytest.mark.parametrize("seed", range(12))
def test_they_never_leave_what_was_asked_by_one(seed):
    draws = random.Random(seed)
    quotas, anew = random_case(draws)
    last = 300 if quotas.ends is None else min(quotas.ends, 300)
    before = quotas.taken(0)
    for step in range(1, last + 1):
        now = quotas.taken(step)
        segment = next(one for one in reversed(quotas.segments) if one.start < step)
        asked = [Fraction(units, segment.unit) for units in segment.asked(step)]
        assert sum(now) == quotas.step_size * step == sum(asked)
        assert all(a <= b for a, b in zip(before, now))
        assert all(math.floor(wanted) <= number <= math.ceil(wanted) for wanted, number in zip(asked, now))
        assert all(limit is None or number <= limit for number, limit in zip(now, quotas.limits))
        before = now
    for step in draws.sample(range(last + 1), min(4, last + 1)):
        assert anew().taken(step) == quotas.taken(step)


def test_a_late_step_is_found_without_those_before_it():
    quotas = Quotas([stage(1, 2, 3, 4.25)], 32, [None] * 4)
    assert quotas.taken(41 * 10**9) == tuple(32 * 10**9 * weight for weight in (4, 8, 12, 17))
    assert list(quotas._known) == [0]
