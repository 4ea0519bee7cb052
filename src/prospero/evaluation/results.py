"""results.json of an evaluation, and its table for the screen: every number with its 95 % interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prospero.evaluation.measurement import Grid, Measured
from prospero.evaluation.statistics.bootstrap import interval

CONFIDENCE, RESAMPLES = 0.95, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured number and how far it may be off by the choice of items."""

    value: float | None
    """None where nothing was measured."""
    low: float | None
    """The lower end of the interval; None with fewer than two items."""
    high: float | None
    higher_is_better: bool | None
    """None where neither is."""
    samples: int
    """Items that have the number."""

    @property
    def better(self) -> str:
        """Which way is better, in words; nothing where neither is."""
        if self.higher_is_better is None:
            return ""
        return "higher is better" if self.higher_is_better else "lower is better"


def estimates(measured: Measured, *, seed: int = 0) -> dict[str, Estimate]:
    """Return every number of a task with its interval, by the bootstrap over items."""
    found = {}
    for name, quantity in measured.quantities.items():
        rows = measured.statistics(name)
        rows = rows[rows.any(axis=1)]  # an item that adds nothing to any sum is none of this number's
        with_number = int(np.isfinite(measured.scores(name)).sum())  # none where only a sum has one: a correlation
        low, high = interval(rows, quantity.finish, share=CONFIDENCE, resamples=RESAMPLES, seed=seed)
        found[name] = Estimate(
            value=_known(measured.value(name)),
            low=_known(low),
            high=_known(high),
            higher_is_better=quantity.higher_is_better if measured.measurement.judged else None,
            samples=with_number or len(rows),
        )
    return found


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def task_results(
    measured: Measured, found: Mapping[str, Estimate], *, seconds: float, items_done: int, made_with: str
) -> dict[str, Any]:
    """Return what results.json holds of one task, as plain values."""
    return {
        "values": {name: asdict(estimate) for name, estimate in found.items()},
        "items": len(measured.outcomes),
        "seconds": round(seconds, 3),
        "items_of_earlier_calls": items_done,
        "facts": measured.facts,
        "caveats": measured.measurement.caveats,
        "tables": [
            {"title": one.title, "columns": list(one.columns), "rows": [list(row) for row in one.rows]}
            for one in measured.measurement.tables(measured)
        ],
        "made_with": made_with,
    }


def table(found: Mapping[str, Mapping[str, Estimate]], grids: Mapping[str, Sequence[Grid]] | None = None) -> list[str]:
    """Return the lines of a table: task/quantity, value, interval, items, and which way is better.

    The numbers of a task with `grids` stand in tables of their own below it.
    """
    beside = {task: of_task for task, of_task in (grids or {}).items() if of_task}
    lines = _list({task: numbers for task, numbers in found.items() if task not in beside})
    for task, of_task in beside.items():
        for one in of_task:
            lines += [*([""] if lines else []), *_grid(task, one, found[task])]
    return lines


def tables_as_text(measured: Sequence[Measured], most: int = 12) -> list[str]:
    """Return the tables and caveats of measurements as lines; of a table at most `most` rows."""
    lines = []
    for one in measured:
        for made in one.measurement.tables(one):
            rows = [tuple(cell_text(cell) for cell in row) for row in made.rows[:most]]
            more = len(made.rows) - most
            lines += ["", f"{one.name}: {made.title}", *_aligned([tuple(made.columns), *rows])]
            lines += [f"({more:,} more on the page)"] if more > 0 else []
        lines += [f"{one.name}: {caveat}" for caveat in one.measurement.caveats]
    return lines


def cell_text(value: str | float | None) -> str:
    """Return a cell of a table as text."""
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else shown(value)


def _grid(task: str, grid: Grid, numbers: Mapping[str, Estimate]) -> list[str]:
    """Return the lines of numbers side by side, each with its interval."""
    rows = [(f"{task}, {_confidence()}", *grid.columns)]
    for title, names in grid.rows.items():
        cells = (f"{shown(numbers[name].value)} ({between(numbers[name])})" for name in names)
        rows.append((title, *(cell.replace("- (-)", "-").replace(" (-)", "") for cell in cells)))
    counted = next(iter(grid.rows.values()))
    rows.append(("items", *(f"{numbers[name].samples:,}" for name in counted)))
    return _aligned(rows)


def _confidence() -> str:
    return f"{CONFIDENCE:.0%} interval".replace("%", " %")


def _list(found: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    if not found:
        return []
    rows = [("", "value", _confidence(), "items", "")]
    for task, numbers in found.items():
        for name, one in numbers.items():
            rows.append((f"{task}/{name}", shown(one.value), between(one), f"{one.samples:,}", one.better))
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def shown(value: float | None) -> str:
    """Return a number to five digits; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def between(one: Estimate) -> str:
    """Return `0.1234 to 0.2345`, or a dash."""
    return "-" if one.low is None or one.high is None else f"{shown(one.low)} to {shown(one.high)}"
