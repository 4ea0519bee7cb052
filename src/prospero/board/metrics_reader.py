"""metrics.csv while it grows: its newest values at a glance, and all its columns, of which only what is new is read.

A run writes its newest row in place until it is complete (metrics of one step come in several calls), and writes the
file anew when it has a new column, goes back or begins again: see `training/loggers/metrics_file.py`. So the last row
is never taken for final, and a file whose beginning or whose bytes before the last row have changed is read anew.
"""

import csv
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow

TAIL_BYTES = 32 * 1024
"""How much of the end is looked at for the newest values."""
HEAD_BYTES = 64 * 1024
"""The longest header that is looked for."""
_WITNESS_BYTES = 256
_BLOCK_BYTES = 1024 * 1024
Identity = tuple[int, int, int]
"""Inode, size and time of a file: when none has changed, neither has the file."""


def identity_of(path: Path) -> Identity | None:
    """Return what tells whether the file has changed; None where there is no plain file that may be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None  # a pipe would hold its reader up for ever
    return found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest value of each metric that the end of the file holds."""

    step: int | None
    values: dict[str, float]
    columns: list[str]
    damage: str | None = None
    """What is wrong with the file, in a few words."""


def newest_values(path: Path) -> Newest:
    """Return the newest values of a metrics.csv from its header and its last lines alone."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            tail = file.read(TAIL_BYTES + 1) if start else head
    except FileNotFoundError:
        return Newest(None, {}, [])
    except OSError as error:
        return Newest(None, {}, [], f"metrics.csv cannot be read: {error.strerror}")
    columns = _header(head)
    if columns is None:
        damage = "metrics.csv has no header with a column step" if b"\n" in head or len(head) == HEAD_BYTES else None
        return Newest(None, {}, [], damage)
    rows = _rows(
        tail[tail.find(b"\n") + 1 : tail.rfind(b"\n") + 1]
    )  # the first of a tail may be torn, the header is not one
    at, values, step = columns.index("step"), {}, None
    missing = [place for place, name in enumerate(columns) if name]
    for row in reversed(rows):
        if len(row) <= at or not _is_step(row[at]):
            continue
        step = int(row[at]) if step is None else step
        given = [place for place in missing if place < len(row) and row[place]]
        for place in given:
            if (value := _number(row[place])) is not None:
                values.setdefault(columns[place], value)
        missing = [place for place in missing if columns[place] not in values] if given else missing
    damage = "metrics.csv holds no row that can be read" if rows and step is None else None
    return Newest(step, {name: values[name] for name in columns if name in values and name != "step"}, columns, damage)


@dataclass(slots=True)
class MetricsReader:
    """All columns of one metrics.csv, brought up to date by `refresh`."""

    path: Path
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """Name -> one number a row, NaN where the cell is empty or no number; `step` among them."""
    read_bytes: int = 0
    """How many bytes the last `refresh` has read of the rows: what a test of following looks at."""
    _identity: Identity | None = None
    _header: bytes = b""
    _names: list[str] = field(default_factory=list)
    _offset: int = 0
    """Where the last row begins, which is not final."""
    _witness: bytes = b""
    """The bytes before it: they change when the file is another one."""
    _last_row_counts: bool = False
    """Whether the last line of the file has become a row."""

    @property
    def size_bytes(self) -> int:
        """Memory of the columns."""
        return sum(column.nbytes for column in self.columns.values())

    def refresh(self) -> bool:
        """Read what is new; return whether anything has changed. A file that is gone has no columns."""
        identity = identity_of(self.path)
        if identity is not None and identity == self._identity:
            self.read_bytes = 0
            return False
        if identity is None:
            changed = bool(self.columns)
            self._forget()
            return changed
        try:
            with open(self.path, "rb") as file:
                self._read(file)
                self._identity = identity
        except OSError:
            changed = bool(self.columns)
            self._forget()
            return changed
        return True

    def _read(self, file: BinaryIO) -> None:
        found = os.fstat(file.fileno())
        known = self._identity is not None and self._identity[0] == found.st_ino and found.st_size >= self._offset > 0
        if known and self._is_the_same(file):
            file.seek(self._offset)
            self._append(file.read())
            return
        self._forget()
        file.seek(0)
        data = file.read()
        names = _header(data[:HEAD_BYTES])
        self.read_bytes = len(data)
        if names is None:
            return
        self._header, self._names = data[: data.find(b"\n") + 1], names
        body = data[len(self._header) : data.rfind(b"\n") + 1]
        self._take(_all_columns(self._header, body, names), len(self._header), body)

    def _is_the_same(self, file: BinaryIO) -> bool:
        file.seek(0)
        if file.read(len(self._header)) != self._header:
            return False
        file.seek(self._offset - len(self._witness))
        return file.read(len(self._witness)) == self._witness

    def _append(self, data: bytes) -> None:
        self.read_bytes = len(data)
        body = data[: data.rfind(b"\n") + 1]
        new = _columns_of(self._names, _rows(body))
        kept = self._final_rows
        joined = {name: np.concatenate([column[:kept], new[name]]) for name, column in self.columns.items()}
        self._take(joined, self._offset, body, before=self._witness)

    @property
    def _final_rows(self) -> int:
        return max(0, len(self.columns["step"]) - 1) if self._last_row_counts else len(self.columns["step"])

    def _take(self, columns: dict[str, np.ndarray], start: int, body: bytes, before: bytes | None = None) -> None:
        self.columns = columns
        last = body.rfind(b"\n", 0, max(len(body) - 1, 0)) + 1  # where the last whole line begins
        self._offset = start + last
        text = (self._header if before is None else before) + body[max(0, last - _WITNESS_BYTES) : last]
        self._witness = text[-_WITNESS_BYTES:]
        cells = next(iter(_rows(body[last:])), [])
        at = self._names.index("step")
        self._last_row_counts = len(cells) > at and _is_step(cells[at])

    def _forget(self) -> None:
        self.columns, self._identity, self._header, self._names = {}, None, b"", []
        self._offset, self._witness, self._last_row_counts = 0, b"", False


def _header(head: bytes) -> list[str] | None:
    """The names of the columns; None where the first line is none that holds a column `step`."""
    end = head.find(b"\n")
    rows = _rows(head[:end]) if end > 0 else []
    names = rows[0] if rows else []
    return names if "step" in names else None


def _rows(data: bytes) -> list[list[str]]:
    """Lines as cells; a line that csv refuses (a NUL, a cell without an end) is an empty one."""
    lines = data.decode("utf-8", "replace").split("\n")
    lines = lines[:-1] if lines and not lines[-1] else lines
    if b'"' not in data and b"\r" not in data:
        return [line.split(",") for line in lines]
    try:
        rows = list(csv.reader(lines))
    except csv.Error:
        rows = []
    return rows if len(rows) == len(lines) else [_row(line) for line in lines]


def _row(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _is_step(cell: str) -> bool:
    return cell.isascii() and cell.isdigit() and len(cell) < 19


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _columns_of(names: list[str], rows: list[list[str]]) -> dict[str, np.ndarray]:
    """The columns of those rows that have a step, cell by cell."""
    at = names.index("step")
    good = [row + [""] * (len(names) - len(row)) for row in rows if len(row) > at and _is_step(row[at])]
    found = {}
    for place, name in enumerate(names):
        if name and name not in found:
            cells = [_number(row[place]) if row[place] else None for row in good]
            found[name] = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return found


def _all_columns(header: bytes, body: bytes, names: list[str]) -> dict[str, np.ndarray]:
    """The columns of a whole file: by Arrow where every cell is a number, else row by row (a tenth of its speed)."""
    whole = len(set(names)) == len(names) and all(names) and b'"' not in body and b"\r" not in body
    if not whole or not body:
        return _columns_of(names, _rows(body))
    try:
        table = arrow.read_csv(
            pa.BufferReader(body),
            read_options=arrow.ReadOptions(column_names=names, use_threads=False, block_size=_BLOCK_BYTES),
            convert_options=arrow.ConvertOptions(
                column_types={name: pa.int64() if name == "step" else pa.float64() for name in names},
                null_values=[""],
            ),
        )
        found = {name: _as_numpy(table[name]) for name in names}
        return found if np.all(found["step"] >= 0) else _columns_of(names, _rows(body))
    except (pa.ArrowException, ValueError, OverflowError):
        return _columns_of(names, _rows(body))


def _as_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """A column of 64-bit numbers, NaN where it has none (Arrow's own way imports pandas: half a second)."""
    parts = []
    for chunk in column.chunks:
        valid, data = chunk.buffers()
        kind = np.float64 if pa.types.is_floating(chunk.type) else np.int64
        values = np.frombuffer(data, kind, len(chunk), chunk.offset * 8).astype(np.float64)
        if valid is not None and chunk.null_count:
            bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
            values[bits[chunk.offset : chunk.offset + len(chunk)] == 0] = np.nan
        parts.append(values)
    return np.concatenate(parts) if parts else np.empty(0)
