"""Which run folders there are below the outputs, and what each is called in an address."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote_from_bytes

from prospero.printable import printable
from prospero.runs.folder import RunFolder
from prospero.sweeps.folder import SWEEP_FILE

TRAIN, SWEEPS = "train", "sweeps"
_OTHER = (TRAIN, SWEEPS, "data", "models", "compare")
"""Folders of the outputs that are no run of their own, whatever they hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """A run folder below the outputs."""

    path: Path
    key: str
    """Its path below the outputs, percent-encoded: plain ASCII whatever bytes the name has."""
    name: str
    """What it is called on the page: one line, nothing in it steers what shows it."""
    sweep: str | None
    """The key of the sweep that it is a job of."""


def places_below(root: Path) -> tuple[list[Place], list[str]]:
    """Return all run folders below `root`, and notes on what is left out: links that lead outside.

    Those are `train/*` and `sweeps/*/*`, with or without a readable config.yaml, and every other folder of `root` that
    holds a run.
    """
    inside, found, notes = os.path.realpath(root), [], []

    def add(path: str, sweep: str | None) -> None:
        if os.path.islink(path) and not _is_below(os.path.realpath(path), inside):
            notes.append(
                f"{printable(os.path.relpath(path, root))} is a link that leads outside of the outputs; it is not read"
            )
            return
        found.append(_place(path, str(root), sweep))

    for path in _folders(os.path.join(root, TRAIN)):
        add(path, None)
    for sweep in _folders(os.path.join(root, SWEEPS)):
        if _is_below(os.path.realpath(sweep), inside):
            for path in filter(_may_be_a_job, _folders(sweep)):
                add(path, key_of(sweep, root))
    for path in _folders(root):
        if os.path.basename(path) not in _OTHER and _has_config(path):
            add(path, None)
    return found, notes


@lru_cache(maxsize=65536)
def _place(path: str, root: str, sweep: str | None) -> Place:
    name = printable(os.path.relpath(path, root).replace(os.sep, "/"))
    return Place(Path(path), key_of(path, root), name.removeprefix(f"{TRAIN}/").removeprefix(f"{SWEEPS}/"), sweep)


def sweep_folders(root: Path) -> list[Path]:
    """Return the folders of all sweeps below `root`."""
    inside = os.path.realpath(root)
    paths = [path for path in _folders(os.path.join(root, SWEEPS)) if _is_below(os.path.realpath(path), inside)]
    return [Path(path) for path in paths if os.path.lexists(os.path.join(path, SWEEP_FILE))]


def key_of(path: str | Path, root: str | Path) -> str:
    """Return how a folder below `root` is called in an address."""
    return quote_from_bytes(os.fsencode(os.path.relpath(path, root).replace(os.sep, "/")), safe="/")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path`, its links followed, lies inside `folder`."""
    return _is_below(os.path.realpath(path), os.path.realpath(folder))


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _has_config(path: str) -> bool:
    return os.path.lexists(RunFolder(Path(path)).config)


def _may_be_a_job(path: str) -> bool:
    return os.path.basename(path).isdigit() or _has_config(path)


def _folders(path: str | Path) -> Iterator[str]:
    """The folders in a folder, hidden ones left out, by name; none where it cannot be read."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return iter(())
    return iter(names)
