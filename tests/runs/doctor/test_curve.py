"""Robust numbers of a curve."""

import pytest

from prospero.runs.doctor.curve import before, finite, integral, last_values, noise


def test_what_is_no_number_is_left_out():
    assert finite([(1, 1.0), (2, float("nan")), (3, float("inf")), (4, 2.0)]) == [(1, 1.0), (4, 2.0)]


def test_the_rows_before():
    curve = [(step, float(step)) for step in range(10)]
    assert before(curve, 5, 3) == 3.0
    assert before(curve, 1, 9) == 0.0


def test_a_single_spike_is_no_noise():
    quiet = [(step, 0.1 * (step % 2)) for step in range(40)]
    assert noise(quiet) == pytest.approx(0.1 * 1.4826 / 2**0.5)
    assert noise([*quiet[:20], (20, 50.0), *quiet[21:]]) == noise(quiet)


def test_a_row_stands_for_the_steps_until_the_next():
    assert integral([(1, 1.0), (10, 2.0), (20, 3.0)], 20) == 1.0 * 9 + 2.0 * 10 + 3.0
    assert integral([(5, 2.0)], 10) == 2.0 * 10  # the steps before the first row, too
    assert integral([], 10) == 0.0


def test_the_last_values():
    assert last_values([(step, float(step)) for step in range(100)]) == [float(step) for step in range(90, 100)]
    assert last_values([(1, 1.0), (2, 2.0)]) == [1.0, 2.0]
