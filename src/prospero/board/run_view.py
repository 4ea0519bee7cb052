"""One run as the table shows it; of its files only those are read again that have changed."""

import contextlib
import hashlib
import json
import math
import os
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from prospero.board.metrics_reader import Identity, Newest, identity_of, newest_values
from prospero.board.places import Place, is_inside
from prospero.board.states import LockWatch, State, state_of
from prospero.configuration.reading import read_flat
from prospero.errors import DataError
from prospero.printable import printable
from prospero.runs.comparison.runs import NOT_COMPARED
from prospero.runs.folder import RunFolder
from prospero.secret_values import REDACTED, is_secret, scrub

_BUDGET = re.compile(rb"budget: ([\d,]+) tokens .*?, ([\d.]+e[+-]?\d+) FLOPs")
_LOG_HEAD_BYTES = 16 * 1024
_LONGEST_TEXT = 300
"""A setting's value or a name of a metric is cut after so many characters on the page."""
_MOST_BYTES = 4 * 1024 * 1024
"""A config.yaml or result.json larger than this is damaged."""


@dataclass(slots=True)
class RunView:
    """A run, brought up to date by `refresh`."""

    place: Place
    version: int = 0
    """The refresh of the board in which it has last changed."""
    settings: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    """What the table shows of it besides its settings."""
    flops_per_token: float | None = None
    _seen: dict[str, Identity | None] = field(default_factory=dict)
    _last_seen: tuple[Any, ...] = ()
    _newest: Newest = field(default_factory=lambda: Newest(None, {}, []))
    _result: dict[str, Any] | None = None
    _damage: dict[str, str] = field(default_factory=dict)
    """File -> what is wrong with it."""

    folder: RunFolder = field(init=False)
    """Its files."""

    def __post_init__(self) -> None:
        self.folder = RunFolder(self.place.path)

    def refresh(self, locks: LockWatch, root: Path) -> bool:
        """Look at its files; return whether anything that the page shows has changed."""
        folder = self.folder
        for path, read in ((folder.config, self._read_config), (folder.result, self._read_result)):
            if self._has_changed(path, root):
                self._damage.pop(path.name, None)
                read(path)
        if self._has_changed(folder.metrics, root):
            self._read_metrics(folder.metrics)
        held = locks.is_held(folder)
        around = [os.path.lexists(path) for path in (folder.lock, folder.stop, folder.diagnosis, folder.report)]
        seen = (*self._seen.values(), held, *around, identity_of(folder.log) if not held and not self._result else None)
        if seen == self._last_seen:
            return False
        self._last_seen = seen
        damage = [printable(scrub(text)) for text in self._damage.values()]
        summary = self._summary(state_of(folder, held, self._result, damage), damage)
        changed = summary != self.summary
        self.summary = summary
        return changed

    def _has_changed(self, path: Path, root: Path) -> bool:
        """Whether a file is another one than at the last look; a link that leads outside is no file."""
        identity = identity_of(path)
        if identity is not None and os.path.islink(path) and not is_inside(path, root):
            identity = None
        if path.name in self._seen and self._seen[path.name] == identity:
            return False
        self._seen[path.name] = identity
        return True

    def _read_config(self, path: Path) -> None:
        if self._seen[path.name] is None:
            self.settings = {}
            self._damage[path.name] = f"there is no {path.name}"
            return
        try:
            _check_size(path)
            found = read_flat(path)
        except (DataError, OSError) as error:
            self.settings = {}
            self._damage[path.name] = str(error).replace(f"{path}", path.name)
            return
        self.settings = {
            _cut(name): REDACTED if value is not None and _is_secret(name) else _shown(value)
            for name, value in found.items()
            if name != "run_dir"
        }

    def _read_result(self, path: Path) -> None:
        self._result = None
        if self._seen[path.name] is None:
            return
        try:
            _check_size(path)
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, DataError):
            found = None
        if isinstance(found, dict):
            self._result = found
        else:
            self._damage[path.name] = f"{path.name} cannot be read"

    def _read_metrics(self, path: Path) -> None:
        self._damage.pop(path.name, None)
        earlier, self._newest = self._newest, Newest(None, {}, [])
        if self._seen[path.name] is not None:
            self._newest = newest_values(path)
        if self._newest.damage:
            self._damage[path.name] = self._newest.damage
        new = self._newest
        if earlier.step is not None and new.step is not None and earlier.step <= new.step:
            kept = {name: value for name, value in earlier.values.items() if name in new.columns}
            self._newest = Newest(new.step, kept | new.values, new.columns, new.damage)

    def _summary(self, state: State, damage: list[str]) -> dict[str, Any]:
        folder, result = self.folder, self._result or {}
        measured = {name: value for name, value in result.items() if name.partition("/")[0] in ("val", "test")}
        values = {**self._newest.values, **measured}
        numbers = {_cut(name): value for name, value in values.items() if name != "tokens" and _is_number(value)}
        config, metrics = self._seen.get(folder.config.name), self._seen.get(folder.metrics.name)
        self._find_flops(result)
        asked = state is State.running and os.path.lexists(folder.stop)
        notes = [*damage, *(["asked to stop"] if asked else [])]
        if state is State.failed:
            gave_up = os.path.lexists(folder.diagnosis)
            notes.append("gave up, see diagnosis.json" if gave_up else "ended without a result, see the end of its log")
        return {
            "key": self.place.key,
            "name": self.place.name,
            "sweep": self.place.sweep,
            "state": state.value,
            "notes": notes,
            "begun": config[2] / 1e9 if config else None,
            "changed": metrics[2] / 1e9 if metrics else None,
            "step": self._newest.step,
            "tokens": _whole(result.get("tokens", self._newest.values.get("tokens"))),
            "seconds": _finite(result.get("training_seconds", self._newest.values.get("train/seconds"))),
            "values": {name: float(value) for name, value in numbers.items() if math.isfinite(value)},
            "columns": [_cut(name) for name in self._newest.columns if name not in ("step", "")],
            "objective": _text(result.get("objective_name")) or _text(self.settings.get("monitor")),
            "higher": result.get("objective_direction") == "maximize",
            "ended_by": _text(result.get("stop_reason")),
            "seed": self.settings.get("seed"),
            "flops_per_token": self.flops_per_token,
            "report": os.path.isfile(folder.report),
        }

    def _find_flops(self, result: dict[str, Any]) -> None:
        """From the result, or, while the run goes on, from the three digits of the budget in its log."""
        if _is_number(result.get("flops_per_token")):
            self.flops_per_token = float(result["flops_per_token"])
        elif self.flops_per_token is None:
            with contextlib.suppress(OSError, ValueError, ZeroDivisionError), open(self.folder.log, "rb") as file:
                found = _BUDGET.search(file.read(_LOG_HEAD_BYTES))
                if found:
                    self.flops_per_token = float(found[2]) / int(found[1].replace(b",", b""))

    def group(self) -> str:
        """A mark that it shares with the runs that differ from it in their seed alone: its sweep and its settings."""
        compared = sorted((name, str(value)) for name, value in self.settings.items() if _counts(name))
        return hashlib.sha256(repr((self.place.sweep, compared)).encode("utf-8", "replace")).hexdigest()[:12]


_is_secret = cache(is_secret)


@cache
def _counts(name: str) -> bool:
    return not any(fnmatch(name, pattern) for pattern in NOT_COMPARED)


def _check_size(path: Path) -> None:
    if os.stat(path).st_size > _MOST_BYTES:
        raise DataError(f"{path} is larger than {_MOST_BYTES:,} bytes")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> float | None:
    return float(value) if _is_number(value) and math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    number = _finite(value)
    return None if number is None else int(number)


def _text(value: Any) -> str | None:
    return _cut(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."


def _shown(value: Any) -> Any:
    """A setting's value for JSON: numbers, texts, bools and null as they are, the rest as one line of text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _cut(scrub(value))
    return _cut(scrub(json.dumps(value, ensure_ascii=False, default=str)))
