"""metrics.csv as its readers see it: the report, the notebook, the table of a sweep, a repetition."""

import csv
import io
from fnmatch import fnmatchcase
from pathlib import Path

CLOCKS = ("*seconds*", "*per_second*", "*/mfu", "*data_wait_ratio", "*memory_bytes", "*checkpoint_bytes")
"""Patterns of columns that measure time or the machine: no two runs agree on them."""


def is_clock(name: str) -> bool:
    """Whether the column measures time or the machine rather than the training."""
    return any(fnmatchcase(name, pattern) for pattern in CLOCKS)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return the rows of a metrics.csv as written, cells that are empty left out; [] when there is no file.

    A last line without its end (the process was killed inside the write) is left out.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    return [
        {name: cell for name, cell in row.items() if name and cell} for row in rows if (row.get("step") or "").isdigit()
    ]


def metric_series(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return metric -> [(step, value), ...] of a metrics.csv."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(path):
        for name, cell in row.items():
            if name != "step":
                series.setdefault(name, []).append((int(row["step"]), float(cell)))
    return series
