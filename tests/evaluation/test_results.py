"""Numbers with intervals: what results.json holds, and the table for the screen."""

import json

import numpy as np
import pytest

from prospero.evaluation.measurement import Measured, Outcome, Quantity
from prospero.evaluation.results import Estimate, between, estimates, shown, table, task_results
from prospero.evaluation.statistics.bootstrap import interval
from tests.evaluation.fakes import NOBODY, Halves


def test_every_number_has_its_interval():
    found = Halves(size=40)(NOBODY)
    half = estimates(found, seed=3)["half"]
    rows = found.statistics("half")
    assert half.value == 9.75 and half.samples == 40 and half.higher_is_better
    assert (half.low, half.high) == interval(rows, found.quantities["half"].finish, seed=3)
    assert half.low < 9.75 < half.high
    assert estimates(found, seed=3)["whole"].low == pytest.approx(2 * half.low)


class Some(Halves):
    """Two quantities, of which one item has neither."""

    @property
    def quantities(self):
        return [Quantity(name="half"), Quantity(name="whole")]

    def outcomes(self, subject, items):
        for outcome in super().outcomes(subject, items):
            yield outcome if outcome.item else Outcome(0, {"half": (0.0, 0), "whole": (0.0, 0)})


def test_items_without_a_number_are_not_counted():
    found = estimates(Some(size=3)(NOBODY))["half"]
    assert (found.value, found.samples) == (0.75, 2)
    alone = estimates(Some(size=1)(NOBODY))["half"]
    assert alone == Estimate(value=None, low=None, high=None, higher_is_better=True, samples=0)


def test_results_are_plain_values():
    measured = Halves(size=4)(NOBODY)
    found = task_results(measured, estimates(measured), seconds=1.23456, items_done=1, made_with="m")
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert found["values"]["half"]["value"] == 0.75 and found["seconds"] == 1.235
    assert found["items"] == 4 and found["items_of_earlier_calls"] == 1


def test_the_table_is_aligned():
    one = Estimate(value=0.75, low=0.5, high=1.0, higher_is_better=True, samples=1200)
    other = Estimate(value=None, low=None, high=None, higher_is_better=False, samples=0)
    assert table({"a": {"b": one, "longer": other}}) == [
        "           value     95 % interval  items",
        "a/b       0.7500  0.5000 to 1.0000  1,200  higher is better",
        "a/longer       -                 -      0  lower is better",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.1235"), (-3.0, "-3.0000"), (81.291, "81.29"), (12345.67, "12,345.7"), (None, "-")]
)
def test_numbers_are_short(value, text):
    assert shown(value) == text


def test_no_interval_is_a_dash():
    assert between(Estimate(value=1.0, low=None, high=None, higher_is_better=True, samples=1)) == "-"


def test_scores_of_no_item():
    assert np.array_equal(Measured(Halves(), []).scores("half"), np.zeros(0))
