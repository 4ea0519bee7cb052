"""Cells: many numbers as one quantity."""

import math

import numpy as np

from prospero.analysis.cells import (
    cell_values,
    cells_of,
    cells_with_intervals,
    largest_cell,
    last_cell,
    mean_but_last,
    mean_cell,
    row_of,
)
from prospero.evaluation.measurement import Measured, Outcome, Quantity
from tests.evaluation.fakes import Halves

SUMS = np.array([2.0, 8.0, 4.0, 2.0])
"""Three cells, of two tokens each: 1, 4, 2."""


def test_what_is_made_of_cells():
    assert cell_values(SUMS).tolist() == [1, 4, 2]
    assert [float(finish(SUMS)) for finish in (mean_cell, largest_cell, last_cell)] == [7 / 3, 4, 2]
    assert float(mean_but_last(SUMS)) == 2.5 and math.isnan(float(mean_but_last(SUMS[2:])))
    both = np.stack([SUMS, np.zeros(4)])
    assert largest_cell(both)[0] == 4 and np.isnan(largest_cell(both)[1])


def test_cells_are_means_over_all_items_with_their_own_intervals():
    class Cells(Halves):
        @property
        def quantities(self):
            return [Quantity(name="height", finish=largest_cell)]

    rows = [row_of([[item, 10.0]], 1 + item % 2) for item in range(8)]
    measured = Measured(Cells(size=8), [Outcome(item, {"height": row}) for item, row in enumerate(rows)])
    assert cells_of(measured, "height").tolist() == [28 / 12, 80 / 12]
    first, second = cells_with_intervals(measured, "height", [0, 1])
    assert (first.place, first.value, second.value) == (0, 28 / 12, 80 / 12)
    assert first.low is not None and first.high is not None and second.low is not None and second.high is not None
    assert 0.5 < first.low < first.value < first.high < 5 and second.low < 80 / 12 < second.high
    alone = Measured(Cells(size=1), [Outcome(0, {"height": rows[0]})])
    (only,) = cells_with_intervals(alone, "height", [1])
    assert (only.value, only.low, only.high) == (10.0, None, None)
