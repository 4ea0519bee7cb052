"""metrics.csv: one row a step, written at once, so that a kill loses nothing and a resumed run leaves no gap."""

import csv
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path

from prospero.log import log
from prospero.paths import write_text
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import read_metrics
from prospero.training.loggers.base import RunLogger, first_line

LAST_TRIES_SECONDS = 4.0
"""How long the end of a run waits for the disk to take rows that it refused before."""
_FIRST_COLUMNS = ("step", "tokens")


class MetricsFile(RunLogger):
    """Writes every metric at full precision; columns stand in the order in which they first appeared.

    Metrics of one step given in several calls (training, then validation) share one row. A new column rewrites the file
    whole; otherwise what is not yet on disk is written in one call, in place. Rows that the disk does not take (it is
    full) stay in memory and are written with the next one, so none is lost.
    """

    title = RunFolder(Path()).metrics.name

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.path = RunFolder(run_dir).metrics
        self.columns: list[str] = []
        """The header of the file as it is on disk."""
        self._end = 0  # of the rows on disk that are final; what follows is written anew
        self._rows: list[dict[str, str]] = []  # those that are not final: the last one, and all that failed
        self._begin_at: int | None = 0  # where the file is to be opened, until that has worked
        self._failing = False
        self._file: int | None = None

    def open_at(self, step: int) -> None:
        """Open the file for a run that goes on after `step` (0: begins); rows after it, and a torn one, are removed."""
        self.close_file()
        self._begin_at, self._rows = step, []
        self._try()

    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write `metrics` into the row of `step`."""
        if not self._rows or self._rows[-1]["step"] != str(step):
            self._rows.append({"step": str(step)})
        self._rows[-1].update(
            {name: repr(float(value)) if name != "tokens" else str(int(value)) for name, value in metrics.items()}
        )
        self._try()

    def finish(self, exit_code: int) -> None:
        """Write what the disk would not take before, and close the file; give up after some seconds."""
        until = time.monotonic() + LAST_TRIES_SECONDS
        while self._failing and time.monotonic() < until:
            time.sleep(LAST_TRIES_SECONDS / 20)
            self._try()
        if self._failing:
            raise OSError(f"{len(self._rows)} rows could not be written")
        self.close_file()

    def close_file(self) -> None:
        """Close the file; a row that is written later opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _try(self) -> None:
        """Bring the file up to date; when the system refuses, say so once and keep the rows."""
        try:
            self._begin()
            new = {name: None for row in self._rows for name in row if name not in self.columns}
            if new or self._file is None:
                self._rewrite([*self.columns, *new])
            else:
                self._write_in_place()
        except OSError as error:
            if not self._failing:
                log.warning("%s cannot be written (%s); rows are kept and tried again", self.title, first_line(error))
            self._failing = True
            return
        if self._failing:
            log.info("%s is written again, no row is missing", self.title)
        self._failing = False

    def _begin(self) -> None:
        """Take up the rows of the file until where the run goes on."""
        if self._begin_at is None:
            return
        step = self._begin_at
        old = [row for row in read_metrics(self.path) if int(row["step"]) <= step] if step else []
        columns = _header(self.path) if old else []
        later = self._rows
        if old and later and old[-1]["step"] == later[0]["step"]:
            later = [{**old.pop(), **later[0]}, *later[1:]]
        self.columns, self._rows = columns, [*old, *later]
        self._begin_at, self._end = None, 0

    def _rewrite(self, columns: list[str]) -> None:
        """Write the file anew with these columns, whole or not at all."""
        columns.sort(key=lambda name: name not in _FIRST_COLUMNS)  # stable: step and tokens, then as they appeared
        rows = [*self._final_rows(), *self._rows]
        lines = [_line(columns, {name: name for name in columns})] if columns else []
        lines += [_line(columns, row) for row in rows]
        write_text(self.path, b"".join(lines).decode())
        self.close_file()
        self._file = os.open(self.path, os.O_WRONLY)
        self.columns = columns
        self._end = sum(map(len, lines[:-1] if rows else lines))
        self._rows = rows[-1:]

    def _final_rows(self) -> list[dict[str, str]]:
        if not self._end:
            return []
        text = self.path.read_bytes()[: self._end].decode()
        return [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(io.StringIO(text))]

    def _write_in_place(self) -> None:
        assert self._file is not None
        lines = [_line(self.columns, row) for row in self._rows]
        if not lines:
            return
        _write_all(self._file, b"".join(lines), self._end)
        os.ftruncate(self._file, self._end + sum(map(len, lines)))
        self._end += sum(map(len, lines[:-1]))
        self._rows = self._rows[-1:]


def _line(columns: list[str], row: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([row.get(name, "") for name in columns])
    return text.getvalue().encode()


def _write_all(file: int, data: bytes, offset: int) -> None:
    os.lseek(file, offset, os.SEEK_SET)
    while data:
        data = data[os.write(file, data) :]


def _header(path: Path) -> list[str]:
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return next(csv.reader(file), [])
