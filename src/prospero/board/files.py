"""The files of a run that may be opened from the board: of known kinds, in known folders, inside the run."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from prospero.board.places import is_inside
from prospero.printable import printable
from prospero.runs.folder import RunFolder

TEXT = "text/plain; charset=utf-8"
KINDS = {
    ".html": "text/html; charset=utf-8", ".png": "image/png", ".csv": TEXT, ".json": TEXT, ".jsonl": TEXT, ".md": TEXT,
    ".txt": TEXT, ".yaml": TEXT, ".diff": TEXT,
}  # fmt: skip
"""Ending -> how it is served: nothing but pages and pictures is anything else than text."""
PAGES = (".html", ".png")
"""What a static export takes along."""
_RUN = RunFolder(Path())
FOLDERS = {
    _RUN.evaluations.name: ("evaluation", 2),
    _RUN.analyses.name: ("analysis", 2),
    _RUN.dynamics.name: ("dynamics", 1),
}
"""Folder of a run -> what its files are, and how deep they lie in it."""
PAGE_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""For pages that a stranger may have written: no script runs, nothing is fetched, nothing is sent."""


def files_of(folder: Path) -> list[dict[str, Any]]:
    """Return what may be opened of a run: {"kind", "name", "path" (percent-encoded), "bytes"}, pages first."""
    found = [_entry(folder, path, "run") for path in _plain_files(folder)]
    for name, (kind, depth) in FOLDERS.items():
        found += [_entry(folder, path, kind) for path in _below(folder / name, depth)]
    return sorted(found, key=lambda one: (one["kind"] != "run", not one["name"].endswith(PAGES), one["name"]))


def open_file(folder: Path, path: str) -> tuple[BinaryIO, str, int] | None:
    """Open a file of a run by its percent-encoded path; return it, its content type and its size.

    None where that is no file of a kind that may be opened, or leads outside of the run.
    """
    parts = [os.fsdecode(unquote_to_bytes(part)) for part in path.split("/")]
    kind = KINDS.get(os.path.splitext(parts[-1])[1])
    deep = FOLDERS[parts[0]][1] + 1 if parts[0] in FOLDERS else 1
    if kind is None or len(parts) != deep or any(not _is_plain_name(part) for part in parts):
        return None
    file = Path(folder, *parts)
    if not is_inside(file, folder):
        return None
    try:
        handle = os.open(os.path.realpath(file), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        return None
    return open(handle, "rb"), kind, found.st_size


def _is_plain_name(part: str) -> bool:
    return bool(part) and not part.startswith(".") and not set(part) & {"/", "\\", "\0"}


def _entry(folder: Path, path: Path, kind: str) -> dict[str, Any]:
    below = os.fsencode(os.path.relpath(path, folder).replace(os.sep, "/"))
    name = printable(os.fsdecode(below)).partition("/")[2] if kind != "run" else printable(path.name)
    return {"kind": kind, "name": name, "path": quote_from_bytes(below, safe="/"), "bytes": _size(path)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if depth == 1:
        yield from _plain_files(folder)
        return
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), depth - 1)


def _plain_files(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if os.path.splitext(entry.name)[1] in KINDS and entry.is_file() and is_inside(Path(entry.path), folder):
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if _is_plain_name(entry.name)]
    except OSError:
        return []
