"""samples.jsonl: one object a line for each item that was measured, from which every number is made again.

    {"task", "item", "scores", "record", "statistics", "made_with"}

Lines are appended as items come, each process to a file of its own, and brought together in order at the end. A job
that was killed goes on with the items that have no line; a last line that was cut off is written again.
"""

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospero.errors import ConfigError, DataError
from prospero.evaluation.measurement import Measurement, Outcome
from prospero.log import log
from prospero.paths import write_text
from prospero.runs.folder import EvaluationFolder

OPENING = b'{"task": '
"""What a line begins with."""
SYNC_SECONDS = 5.0
"""What a machine that loses power may lose, in seconds of work; a kill loses nothing that was written."""


@dataclass(frozen=True, slots=True)
class Line:
    """One measured item, as it stands in the file."""

    task: str
    made_with: str
    outcome: Outcome
    text: str
    """The line itself, without its end."""


def line_of(measurement: Measurement, outcome: Outcome, made_with: str) -> str:
    """Return the line of an outcome; numbers come back from it bit for bit."""
    scores = {}
    for quantity in measurement.quantities:
        row = np.asarray([outcome.statistics[quantity.name]], dtype=np.float64)
        value = float(quantity.finish(row)[0])
        scores[quantity.name] = value if math.isfinite(value) else None
    statistics = {name: [_number(value) for value in row] for name, row in outcome.statistics.items()}
    fields = {"task": measurement.name, "item": outcome.item, "scores": scores, "record": dict(outcome.record)}
    return json.dumps(fields | {"statistics": statistics, "made_with": made_with}, ensure_ascii=True, default=str)


def _number(value: float) -> float | int | str:
    number = float(value)
    if not math.isfinite(number):
        return str(number)  # JSON has no such numbers
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


class SamplesWriter:
    """Appends lines to one file; all of one call, or (after a kill) a beginning of them."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        self._synced = time.monotonic()

    def append(self, lines: Sequence[str]) -> None:
        """Write lines at the end of the file."""
        self.file.write("".join(f"{line}\n" for line in lines).encode())
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Make what was written outlast the machine."""
        os.fsync(self.file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync, and close the file."""
        self.sync()
        self.file.close()


def read_samples(folder: EvaluationFolder) -> list[Line]:
    """Return the lines of all processes, each item once; DataError for what is damaged, ConfigError for what is none.

    A last line that was cut off is left out.
    """
    found: dict[tuple[str, int], Line] = {}
    for path in (folder.samples, *folder.shares()):
        for line in _lines(path) if os.path.lexists(path) else []:
            found.setdefault((line.task, line.outcome.item), line)
    return list(found.values())


def _lines(path: Path) -> list[Line]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); choose another out=") from error
    *lines, rest = content.split(b"\n")
    if rest and not (rest.startswith(OPENING) or OPENING.startswith(rest)):
        raise ConfigError(f"{path} ends with a line that was not written here; choose another out=")
    if rest:
        log.warning("%s: its last line was cut off, and its item is measured again", path)
    return [_line(line, f"{path} line {number}") for number, line in enumerate(lines, 1)]


def _line(line: bytes, place: str) -> Line:
    try:
        fields = json.loads(line)
        rows: Mapping[str, Any] = fields["statistics"]
        statistics = {name: [float(value) for value in row] for name, row in rows.items()}
        outcome = Outcome(int(fields["item"]), statistics, dict(fields["record"]))
        return Line(str(fields["task"]), str(fields["made_with"]), outcome, line.decode())
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise DataError(f"{place} is damaged, or no sample of an evaluation; choose another out=") from error


def check_made_with(lines: Iterable[Line], made_with: Mapping[str, str], sizes: Mapping[str, int], out: Path) -> None:
    """Raise ConfigError when a line of one of these tasks comes of another model, or of other settings or items."""
    for line in lines:
        if line.task not in made_with:
            continue
        if line.made_with != made_with[line.task] or not 0 <= line.outcome.item < sizes[line.task]:
            raise ConfigError(
                f"out={out} holds samples of {line.task} that were made by another model or with other settings; "
                "choose another out="
            )


def bring_together(folder: EvaluationFolder, lines: Sequence[Line], tasks: Sequence[str]) -> None:
    """Write all lines to samples.jsonl, in the order of `tasks` (others after them) and of their items."""
    order = {name: place for place, name in enumerate(tasks)}
    ordered = sorted(lines, key=lambda line: (order.get(line.task, len(order)), line.task, line.outcome.item))
    write_text(folder.samples, "".join(f"{line.text}\n" for line in ordered))
    for path in folder.shares():
        path.unlink()
