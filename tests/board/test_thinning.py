"""Thinned curves: no spike is lost, and the means are those of the stretches."""

import math

import numpy as np
import pytest

from prospero.board.thinning import knots, short, stretches, thinned


def test_a_short_curve_stays_as_it_is():
    found = thinned(np.array([1.0, 2, 3]), np.array([5.0, np.nan, 7]), 10)
    assert found == {"x": [1, 3], "y": [5.0, 7.0]}


@pytest.mark.parametrize("rows", [1001, 5000, 9999])
def test_spikes_stay_both_ways(rows):
    values = np.sin(np.arange(rows) / 50)
    values[[333, 700]] = 40.0, -30.0
    found = thinned(np.arange(rows) * 10.0, values, 100)
    assert len(found["x"]) <= 102
    curve = dict(zip(found["x"], found["y"]))
    assert (curve[3330], curve[7000]) == (40.0, -30.0)
    assert (found["x"][0], found["x"][-1]) == (0, (rows - 1) * 10)
    assert found["x"] == sorted(found["x"])


def test_the_means_are_those_of_the_stretches():
    found = thinned(np.arange(8.0), np.array([1.0, 3, 5, 7, 0, 0, 10, 2]), 4)
    assert (found["mx"], found["my"], found["mn"]) == ([0, 4], [1.0, 3.857143], [1, 7])
    assert found["x"] == [0, 4, 6, 7]


def test_stretches_are_short_where_a_curve_begins():
    starts, counts = stretches(10_000, 100)
    assert len(starts) <= 100 and counts.sum() == 10_000
    assert starts[:5].tolist() == [0, 1, 2, 3, 4] and counts.max() <= 200


def test_infinite_values_are_no_points():
    found = thinned(np.arange(4.0), np.array([1.0, math.inf, -math.inf, 2.0]), 10)
    assert found == {"x": [0, 3], "y": [1.0, 2.0]}


def test_numbers_are_cut_to_seven_digits():
    assert short(np.array([123456.789, 0.000012345678912, 0.0, -1e30, 3e-30])) == [
        123456.8, 1.234568e-05, 0.0, -1e30, 3e-30,
    ]  # fmt: skip


def test_knots_lead_from_steps_to_tokens_and_seconds():
    columns = {"step": np.arange(1.0, 101), "tokens": np.arange(1.0, 101) * 4, "train/seconds": np.full(100, np.nan)}
    columns["train/seconds"][[0, 99]] = 1.0, 50.0
    found = knots(columns, 10)
    assert len(found["tokens"][0]) == 10
    assert found["seconds"] == [[1, 100], [1.0, 50.0]]
    assert [found["tokens"][0][0], found["tokens"][0][-1], found["tokens"][1][-1]] == [1, 100, 400.0]
