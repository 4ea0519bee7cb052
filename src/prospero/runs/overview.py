"""All runs below a folder of outputs as rows, each read from its files alone; a damaged one is a row that says so.

Every file may be missing, cut short, damaged or growing while it is read.
"""

import csv
import io
import json
import math
import os
import re
import time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from prospero.plain import flat
from prospero.runs.folder import RunFolder
from prospero.runs.result import Status, read_result

SWEEPS = "sweeps"
_SWEEP_RECORD = "sweep.json"
_TAIL_BYTES = 1 << 16
_SHOWN = ("tokens", "train/loss", "train/seconds", "val/loss", "val/bits_per_byte")
"""Columns of metrics.csv whose newest value a row shows."""
_LOG_LINE = re.compile(r"INFO model: .*?([\d,]+) parameters")


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Safe YAML, in which 1e-5 is a number, as it is for the program that wrote the file."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("+-0123456789")
)


class State(Enum):
    """How a run stands."""

    running = "running"
    done = "done"
    stopped = "stopped"
    """It has saved and left before its end, and can go on."""
    pruned = "pruned"
    """Its sweep has ended it."""
    diverged = "diverged"
    """It has given up."""
    broken_off = "broken off"
    """Nothing trains it, and it has written no result."""
    waiting = "waiting"
    """A job of a sweep whose turn has not come."""
    damaged = "damaged"
    """Its settings cannot be read."""


_OF_RESULT = {Status.pruned.value: State.pruned, Status.stopped.value: State.stopped, Status.done.value: State.done}
_OF_JOB = {
    Status.waiting.value: State.waiting, Status.stopped.value: State.stopped, Status.running.value: State.running,
}  # fmt: skip


@dataclass(kw_only=True, slots=True)
class RunRow:
    """One run as a row of a table; None is what is not known."""

    folder: Path
    name: str
    """What `run=` finds it by: its folder's name below train/, else its path."""
    state: State
    problem: str = ""
    """What is wrong with its files, in a few words."""
    begun: float | None = None
    """When it began, or went on for the last time: seconds since the epoch."""
    model: str = ""
    """The kind of its model."""
    parameters: int | None = None
    steps: int | None = None
    """Optimiser steps taken."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What was measured, by name: of a result.json all, else the newest of metrics.csv."""
    seconds: float | None = None
    """Time of training."""
    sweep: str | None = None
    """The sweep whose job it is."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Every setting by its dotted name; the kind of a part under the name of its group."""


def run_folders(outputs_dir: Path) -> list[Path]:
    """Return the folders that are runs or should be, in no order: also those without anything that can be read.

    Every folder below train/ should be one, and every job of a sweep; another is one where it holds a run.
    """
    found = _folders(outputs_dir / "train")
    found += [job for sweep in _folders(outputs_dir / SWEEPS) for job in _folders(sweep) if job.name.isdecimal()]
    return found + [path for path in _folders(outputs_dir) if RunFolder(path).config.is_file()]


def read_rows(outputs_dir: Path) -> list[RunRow]:
    """Return a row for each run below `outputs_dir`, the newest first."""
    rows = [read_row(folder, outputs_dir) for folder in run_folders(outputs_dir)]
    return sorted(rows, key=lambda row: (-(row.begun or 0.0), row.name))


def read_row(folder: Path, outputs_dir: Path) -> RunRow:
    """Return what the files of one run say."""
    run = RunFolder(folder)
    sweep = folder.parent.name if folder.parent.parent == outputs_dir / SWEEPS else None
    row = RunRow(
        folder=folder,
        name=folder.name if folder.parent == outputs_dir / "train" else str(folder),
        state=State.damaged,
        sweep=sweep,
    )
    try:
        row.begun = run.config.stat().st_mtime if run.config.exists() else folder.stat().st_mtime
        row.settings = read_settings(run.config)
    except FileNotFoundError:
        row.state = _OF_JOB.get(_status_of_job(folder) if sweep else "", State.damaged)
        row.problem = "" if row.state is not State.damaged else f"it has no {run.config.name}"
        return row
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        row.problem = f"{run.config.name} cannot be read: {_reason(error)}"
        return row
    row.model = str(row.settings.get("model") or "")
    _read_numbers(run, row)
    return row


def read_settings(config: Path) -> dict[str, Any]:
    """Return the settings in a config.yaml by their dotted names, and under the name of a group the part chosen.

    Raises OSError, ValueError, RecursionError or yaml.YAMLError where the file cannot be read as settings.
    """
    found = yaml.load(config.read_text(encoding="utf-8"), Loader=_Loader)
    if not isinstance(found, dict):
        raise ValueError("it holds no settings")
    defaults = found.pop("defaults", None)
    found.pop("hydra", None)
    words = defaults if isinstance(defaults, list) else []
    named = (re.fullmatch(r"/schema/(\w+)/([\w.-]+)@\1(\.\w+)?", str(word)) for word in words)
    parts: dict[str, list[str]] = {}
    for match in named:
        if match:
            parts.setdefault(match[1], []).append(match[2])
    settings = {name: value for name, value in flat(found).items() if not isinstance(value, dict)}
    return settings | {group: ",".join(names) for group, names in parts.items()}


def newest_values(metrics: Path, names: tuple[str, ...] = _SHOWN) -> tuple[int | None, dict[str, float]]:
    """Return the last step in a metrics.csv, and the newest value of each column; the file is read from its end.

    Raises OSError where it cannot be read; a last line without its end is left out.
    """
    with open(metrics, "rb") as file:
        head = next(csv.reader([file.readline().decode("utf-8", "replace")]), [])
        begin, size = file.tell(), os.fstat(file.fileno()).st_size
        wanted = [name for name in names if name in head]
        length, step, found = _TAIL_BYTES, None, {}
        while True:
            start = max(begin, size - length)
            file.seek(start)
            text = file.read(size - start)
            lines = text[: text.rfind(b"\n") + 1].decode("utf-8", "replace")
            lines = lines if start == begin else lines.partition("\n")[2]
            step, found = _newest(head, lines, wanted)
            if start == begin or (step is not None and len(found) == len(wanted)):
                return step, found
            length *= 8


def _newest(head: list[str], lines: str, wanted: list[str]) -> tuple[int | None, dict[str, float]]:
    step, found = None, {}
    for cells in csv.reader(io.StringIO(lines.replace("\0", ""))):
        row = dict(zip(head, cells))
        if not (number := row.get("step", "")).isdecimal():
            continue
        step = int(number)
        for name in wanted:
            value = _number(row.get(name))
            if value is not None:
                found[name] = value
    return step, found


def _read_numbers(run: RunFolder, row: RunRow) -> None:
    """Fill in how the run stands and what it has measured."""
    from prospero.processes.run_lock import is_held  # names alone, for completion in a shell, need no locks

    problems = []
    result = read_result(run.path)
    if not result and run.result.exists():
        problems.append(f"{run.result.name} cannot be read")
    try:
        row.steps, row.numbers = newest_values(run.metrics)
    except FileNotFoundError:
        row.steps, row.numbers = (None, {})
    except (OSError, csv.Error) as error:
        problems.append(f"{run.metrics.name} cannot be read: {_reason(error)}")
    row.seconds = row.numbers.pop("train/seconds", None)
    row.numbers |= {
        n: v for n in result if isinstance(result[n], int | float) and (v := _number(result[n])) is not None
    }
    steps, seconds = (_number(result.get(name)) for name in ("steps", "training_seconds"))
    row.steps = row.steps if steps is None else int(steps)
    row.seconds = row.seconds if seconds is None else seconds
    if is_held(run.path):
        row.state = State.running
    elif result:
        row.state = _OF_RESULT.get(str(result.get("status")), State.done)
    else:
        row.state = State.diverged if run.diagnosis.exists() else State.broken_off
    row.parameters = _parameters(run)
    row.problem = "; ".join(problems)


def _parameters(run: RunFolder) -> int | None:
    """The number that the run has logged at its beginning."""
    try:
        with open(run.log, encoding="utf-8", errors="replace") as file:
            found = _LOG_LINE.search(file.read(_TAIL_BYTES))
    except OSError:
        return None
    return int(found[1].replace(",", "")) if found else None


def _status_of_job(folder: Path) -> str:
    """How its sweep says that a job stands; nothing where it does not say."""
    try:
        record = json.loads((folder.parent / _SWEEP_RECORD).read_text(encoding="utf-8"))
        return next(str(job["status"]) for job in record["jobs"] if str(job["number"]) == folder.name)
    except (OSError, ValueError, RecursionError, LookupError, TypeError, StopIteration):
        return ""


def _folders(place: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(place) if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []


def _number(value: object) -> float | None:
    """Return a number as such, NaN included; None for what is none."""
    try:
        return float(value) if isinstance(value, int | float | str) and value != "" else None
    except (ValueError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is not None:
        return f"no YAML at line {mark.line + 1}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def shown_age(begun: float | None) -> str:
    """Return how long ago something was, in the largest unit that fits: 5m, 3h, 2d."""
    return "" if begun is None else shown_time(max(0.0, time.time() - begun))


def shown_time(seconds: float | None) -> str:
    """Return a time in the largest unit that fits: 42s, 5m, 3.2h, 2.1d."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    for unit, length, most in (("s", 1, 60), ("m", 60, 60), ("h", 3600, 48)):
        if seconds < length * most:
            value = seconds / length
            return f"{value:.1f}{unit}" if unit == "h" and value < 10 else f"{value:.0f}{unit}"
    return f"{seconds / 86400:.1f}d" if seconds < 864000 else f"{seconds / 86400:.0f}d"


def shown_count(number: float | None) -> str:
    """Return a count in thousands, millions or billions: 1.2M."""
    if number is None or not math.isfinite(number):
        return ""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"
