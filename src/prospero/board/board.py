"""The board's answers: what has changed among the runs since a page last asked, their curves, and one run in detail."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prospero.board import files, sweep_view
from prospero.board.metrics_reader import MetricsReader, identity_of
from prospero.board.places import Place, is_inside, places_below
from prospero.board.run_view import RunView
from prospero.board.states import LockWatch, State
from prospero.board.texts import log_lines, sections
from prospero.board.thinning import knots, thinned
from prospero.runs.folder import RunFolder
from prospero.sweeps.folder import SWEEP_FILE

LEAST_SECONDS = 0.5
"""Pages that ask within this time of each other share one look at the files."""
MOST_MEMORY_BYTES = 512 * 1024 * 1024
"""Columns of more runs than fit are read again when they are asked for."""
MOST_POINTS = 20_000


class Unknown(Exception):
    """No run of that name."""


@dataclass(slots=True)
class Board:
    """All runs below one folder; `refresh` looks at the files, everything else answers from what it found."""

    root: Path
    views: dict[str, RunView] = field(default_factory=dict)
    version: int = 0
    notes: list[str] = field(default_factory=list)
    common: dict[str, Any] | None = None
    """The usual value of each setting: a run's answer names only where it differs."""
    started: str = field(default_factory=lambda: f"{time.time_ns():x}")
    """Marks the versions of this board: those of an earlier one mean nothing."""
    _gone: dict[str, int] = field(default_factory=dict)
    _sweeps: list[dict[str, Any]] = field(default_factory=list)
    _sweeps_version: int = 0
    _sweeps_seen: Any = None
    _readers: dict[str, tuple[MetricsReader, int]] = field(default_factory=dict)
    """Key -> its columns, and how often they have changed; the one asked for last stands last."""
    _locks: LockWatch = field(default_factory=LockWatch)
    _looked: float = -1e9
    _mutex: threading.RLock = field(default_factory=threading.RLock)

    def refresh(self, *, at_once: bool = False) -> None:
        """Look at the files, unless that was done a moment ago."""
        with self._mutex:
            if not at_once and time.monotonic() - self._looked < LEAST_SECONDS:
                return
            places, self.notes = places_below(self.root)
            version = self.version + 1
            changed = self._forget_gone({place.key: place for place in places}, version)
            for place in places:
                view = self.views.get(place.key)
                if view is None:
                    view = self.views[place.key] = RunView(place)
                    self._gone.pop(place.key, None)
                if view.refresh(self._locks, self.root):
                    view.version = version
                    changed = True
            changed |= self._look_at_sweeps(version)
            self.version = version if changed else self.version
            if self.common is None and self.views:
                self.common = _usual(view.settings for view in self.views.values())
            self._looked = time.monotonic()

    def _forget_gone(self, places: Mapping[str, Place], version: int) -> bool:
        gone = [key for key in self.views if key not in places]
        for key in gone:
            del self.views[key]
            self._readers.pop(key, None)
            self._gone[key] = version
        return bool(gone)

    def _look_at_sweeps(self, version: int) -> bool:
        seen = [(path, identity_of(path / SWEEP_FILE)) for path in sweep_view.sweep_folders(self.root)]
        states = [view.summary["state"] for view in self.views.values() if view.place.sweep]
        if (seen, states) == self._sweeps_seen:
            return False
        self._sweeps_seen = (seen, states)
        self._sweeps, self._sweeps_version = sweep_view.sweeps_below(self.root), version
        return True

    def runs(self, since: str = "") -> dict[str, Any]:
        """Return what has changed since the answer whose `version` was `since`; everything where that is unknown."""
        with self._mutex:
            mark, _, number = since.partition("-")
            ours = mark == self.started and number.isascii() and number.isdigit() and len(number) < 16
            known = int(number) if ours else 0
            changed = [view for view in self.views.values() if view.version > known]
            answer: dict[str, Any] = {
                "version": f"{self.started}-{self.version}",
                "whole": known == 0,
                "notes": self.notes,
                "runs": [view.summary | self._settings_of(view) for view in changed],
                "gone": [key for key, version in self._gone.items() if version > known],
            }
            if known == 0:
                answer["common"] = self.common or {}
            if self._sweeps_version > known or known == 0:
                answer["sweeps"] = self._sweeps
            return answer

    def _settings_of(self, view: RunView) -> dict[str, Any]:
        usual = self.common or {}
        own = {
            name: value for name, value in view.settings.items() if name not in usual or not _same(usual[name], value)
        }
        without = [name for name in usual if name not in view.settings]
        return {"settings": own, "without": without, "group": view.group()}

    def curves(self, metric: str, wanted: Iterable[tuple[str, str]], most: int) -> dict[str, Any]:
        """Return key -> {"tag", "curve", "axes"} of the wanted runs; {"tag"} alone where the tag is the one given.

        Runs that are unknown, or have no such metric, have an empty curve. `most` is how many points a curve may have.
        """
        most = min(max(most, 10), MOST_POINTS)
        return {key: self._curve(metric, key, tag, most) for key, tag in wanted}

    def _curve(self, metric: str, key: str, tag: str, most: int) -> dict[str, Any]:
        with self._mutex:
            if key not in self.views:
                return {"tag": "", "curve": {"x": [], "y": []}, "axes": {}}
            reader, changes = self._columns(key)
            now = f"{self.started}.{changes}"
            if tag == now:
                return {"tag": now}
            return {"tag": now, **drawn(reader, metric, most)}

    def _columns(self, key: str) -> tuple[MetricsReader, int]:
        """The columns of a run, up to date."""
        path = self.views[key].folder.metrics
        reader, changes = self._readers.pop(key, (MetricsReader(path), 0))
        if os.path.islink(path) and not is_inside(path, self.root):
            reader = MetricsReader(Path(os.devnull))
        if reader.refresh():
            changes += 1
        self._readers[key] = reader, changes
        total = sum(one.size_bytes for one, _ in self._readers.values())
        while total > MOST_MEMORY_BYTES and len(self._readers) > 1:
            oldest = next(iter(self._readers))
            total -= self._readers.pop(oldest)[0].size_bytes
        return reader, changes

    def columns(self, key: str) -> MetricsReader:
        """Return the columns of a run, up to date."""
        with self._mutex:
            return self._columns(self.view(key).place.key)[0]

    def detail(self, key: str) -> dict[str, Any]:
        """Return what a run wrote as text, and which of its files may be opened."""
        view = self.view(key)
        folder = view.folder
        texts = {"samples": folder.samples, "rollouts": folder.rollouts, "evaluation": folder.evaluation}
        return {
            "texts": {name: sections(path) for name, path in texts.items() if is_inside(path, self.root)},
            "log": log_lines(folder.log) if is_inside(folder.log, self.root) else [],
            "files": files.files_of(folder.path) if is_inside(folder.path, self.root) else [],
        }

    def view(self, key: str) -> RunView:
        """Return a run by its key; Unknown where there is none."""
        with self._mutex:
            if key not in self.views:
                raise Unknown(key)
            return self.views[key]

    def stop(self, key: str) -> str:
        """Ask a running run to save and leave, by its file STOP; return what came of it, in a few words."""
        view = self.view(key)
        folder: RunFolder = view.folder
        if view.summary["state"] != State.running.value or not self._locks.is_held(folder):
            return "the run does not run"
        try:
            os.close(os.open(folder.stop, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            return "the run has been asked already"
        except OSError as error:
            return f"the file {folder.stop.name} cannot be written: {error.strerror}"
        self.refresh(at_once=True)
        return ""


def drawn(reader: MetricsReader, metric: str, most: int) -> dict[str, Any]:
    """Return a run's curve of one metric, and what leads from steps to tokens and seconds."""
    if "step" not in reader.columns:
        return {"curve": {"x": [], "y": []}, "axes": {}}
    axes = knots(reader.columns, most)
    if metric not in reader.columns:
        return {"curve": {"x": [], "y": []}, "axes": axes}
    return {"curve": thinned(reader.columns["step"], reader.columns[metric], most), "axes": axes}


def _usual(all_settings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The value that most runs have, of every setting that most runs have."""
    counts: dict[str, Counter[tuple[str, Any]]] = {}
    runs = 0
    for settings in all_settings:
        runs += 1
        for name, value in settings.items():
            counts.setdefault(name, Counter())[type(value).__name__, value] += 1
    return {name: found.most_common(1)[0][0][1] for name, found in counts.items() if 2 * sum(found.values()) > runs}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
