"""Runs, sweeps, files and folders by what their names begin with."""

import os
from pathlib import Path

from prospero.printable import printable

MOST = 500
"""Names that are offered, at most."""


def runs(outputs_dir: str) -> list[tuple[str, str]]:
    """Return (what run= takes, when it began) of the runs below a folder, the newest first."""
    from prospero.runs.folder import RunFolder
    from prospero.runs.overview import run_folders, shown_age

    outputs = Path(outputs_dir)
    found = []
    for folder in run_folders(outputs):
        try:
            begun = RunFolder(folder).config.stat().st_mtime
        except OSError:
            continue
        name = folder.name if folder.parent == outputs / "train" else str(folder)
        found.append((begun, name))
    return [(name, f"{shown_age(begun)} ago") for begun, name in sorted(found, reverse=True)[:MOST]]


def models(outputs_dir: str) -> list[tuple[str, str]]:
    """Return the models that were imported."""
    return [(name, "an imported model") for name in sorted(_names(os.path.join(outputs_dir, "models"), folders=True))]


def sweeps(outputs_dir: str) -> list[str]:
    """Return the names of the sweeps below a folder, the newest first."""
    place = os.path.join(outputs_dir, "sweeps")
    found = (name for name in _names(place, folders=True) if os.path.isfile(os.path.join(place, name, "sweep.json")))
    return sorted(found, reverse=True)[:MOST]


def files(begun: str, *, folders: bool = False) -> list[str]:
    """Return the paths that begin with `begun`, folders with a / at their end; `folders` leaves out files.

    `~` is read as the home, and stays as it was typed. Hidden names are offered where a dot was typed.
    """
    head, slash, tail = begun.rpartition("/")
    place = os.path.expanduser(f"{head}/") if slash else "."
    shown = [name for name in _names(place, folders=folders) if name.startswith(tail)]
    shown = [name for name in shown if tail.startswith(".") or not name.startswith(".")]
    return [
        f"{head}{slash}{name}{'/' if os.path.isdir(os.path.join(place, name)) else ''}" for name in sorted(shown)[:MOST]
    ]


def _names(place: str, *, folders: bool) -> list[str]:
    """Return the names in a folder that a line can hold as they are."""
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries if not folders or entry.is_dir()]
    except OSError:
        return []
    return [name for name in names if printable(name) == name]
