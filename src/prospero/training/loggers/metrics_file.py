"""metrics.csv: one row a step, written at once, so that a kill loses nothing and a resumed run leaves no gap."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from prospero.paths import write_text
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import read_metrics
from prospero.training.loggers.base import RunLogger

_FIRST_COLUMNS = ("step", "tokens")


class MetricsFile(RunLogger):
    """Writes every metric at full precision; columns stand in the order in which they first appeared.

    Metrics of one step given in several calls (training, then validation) share one row. A new column rewrites the file
    whole; otherwise the last row is written in one call, in place.
    """

    title = RunFolder(Path()).metrics.name

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.path = RunFolder(run_dir).metrics
        self.columns: list[str] = []
        self._rows_end = 0  # where the last row begins: everything before it is final
        self._row: dict[str, str] = {}
        self._file: int | None = None

    def open_at(self, step: int) -> None:
        """Open the file for a run that goes on after `step` (0: begins); rows after it, and a torn one, are removed."""
        self.finish(0)
        rows = [row for row in read_metrics(self.path) if int(row["step"]) <= step] if step else []
        self.columns = _header(self.path) if rows else []
        self._row = rows[-1] if rows else {}
        self._rewrite(rows)

    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write `metrics` into the row of `step`."""
        if not self.columns and self._file is None:
            self.open_at(0)
        if self._row.get("step") != str(step):
            self._begin_row(step)
        self._row.update(
            {name: repr(float(value)) if name != "tokens" else str(int(value)) for name, value in metrics.items()}
        )
        new = [name for name in self._row if name not in self.columns]
        if new:
            self._add_columns(new)
        else:
            self._write_last_row()

    def finish(self, exit_code: int) -> None:
        """Close the file; every row is already in it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _begin_row(self, step: int) -> None:
        if self._row:
            self._rows_end += len(self._line(self._row))
        self._row = {"step": str(step)}

    def _add_columns(self, names: list[str]) -> None:
        self.columns += names
        rows = read_metrics(self.path)
        rows = [row for row in rows if row["step"] != self._row["step"]] + [self._row]
        self._rewrite(rows)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.finish(0)
        self.columns.sort(key=lambda name: name not in _FIRST_COLUMNS)  # stable: step and tokens, then as they appeared
        lines = [self._line({name: name for name in self.columns})] if self.columns else []
        lines += [self._line(row) for row in rows]
        write_text(self.path, b"".join(lines).decode())
        self._rows_end = sum(map(len, lines[:-1])) if rows else sum(map(len, lines))
        self._file = os.open(self.path, os.O_WRONLY)

    def _write_last_row(self) -> None:
        assert self._file is not None
        line = self._line(self._row)
        _write_all(self._file, line, self._rows_end)
        os.ftruncate(self._file, self._rows_end + len(line))

    def _line(self, row: Mapping[str, str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([row.get(name, "") for name in self.columns])
        return text.getvalue().encode()


def _write_all(file: int, data: bytes, offset: int) -> None:
    os.lseek(file, offset, os.SEEK_SET)
    while data:
        data = data[os.write(file, data) :]


def _header(path: Path) -> list[str]:
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return next(csv.reader(file), [])
