"""Numbers of many cells at once: one for each layer, or for each head of each layer, as one quantity.

A model's shape is not known when the names of quantities are, so that all cells are one quantity. Its statistics are
the sums of all cells and one count, [cell 0, ..., cell C-1, count]. The published number is a function of the cells
(their mean, the largest), and a table or a picture reads the cells themselves.

Shapes: n items, C cells, L layers, N heads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from prospero.evaluation.measurement import Measured, mean
from prospero.evaluation.statistics.bootstrap import interval

SEED = 1
"""Of the intervals: that of `prospero analyse` unless another is given, so that a number has one interval."""


def cell_values(sums: np.ndarray) -> np.ndarray:
    """Return the cells [..., C] of sums [..., C + 1]; NaN where nothing was counted."""
    count = sums[..., -1:]
    return np.divide(sums[..., :-1], count, out=np.full(sums[..., :-1].shape, np.nan), where=count != 0)


def mean_cell(sums: np.ndarray) -> np.ndarray:
    """Return the mean over cells [...]."""
    return _over_cells(np.mean, sums)


def largest_cell(sums: np.ndarray) -> np.ndarray:
    """Return the largest cell [...]. The largest of many noisy numbers lies above the largest true one."""
    return _over_cells(np.max, sums)


def last_cell(sums: np.ndarray) -> np.ndarray:
    """Return the last cell [...]."""
    return _over_cells(lambda cells, axis: cells[..., -1], sums)


def mean_but_last(sums: np.ndarray) -> np.ndarray:
    """Return the mean over all cells but the last [...]; NaN with one cell."""
    return _over_cells(lambda cells, axis: cells[..., :-1].mean(axis=axis), sums, least=2)


def _over_cells(function: Callable[..., np.ndarray], sums: np.ndarray, least: int = 1) -> np.ndarray:
    if sums.shape[-1] <= least:
        return np.full(sums.shape[:-1], np.nan)
    return function(cell_values(sums), axis=-1)


def row_of(cells: Sequence[float] | np.ndarray, count: float) -> list[float]:
    """Return the statistics of one item: the sum of each cell, and what they are sums of."""
    return [*(float(value) for value in np.asarray(cells).reshape(-1)), float(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell with its interval."""

    place: int
    value: float
    low: float | None
    """The lower end of its interval; None where the items do not tell (fewer than two)."""
    high: float | None


def cells_of(measured: Measured, quantity: str) -> np.ndarray:
    """Return the cells [C] of a quantity over all items."""
    return cell_values(measured.statistics(quantity).sum(axis=0))


def cells_with_intervals(measured: Measured, quantity: str, places: Sequence[int]) -> list[Cell]:
    """Return some cells of a quantity, each with its 95 % interval over items."""
    rows, values = measured.statistics(quantity), cells_of(measured, quantity)
    found = []
    for place in places:
        low, high = interval(rows[:, [place, -1]], mean, seed=SEED)
        known = np.isfinite(low) and np.isfinite(high)
        ends = (low, high) if known else (None, None)
        found.append(Cell(place=place, value=float(values[place]), low=ends[0], high=ends[1]))
    return found
