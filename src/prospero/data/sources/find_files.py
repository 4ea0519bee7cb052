"""Find the files that a path, a folder or a glob means; in an order that is the same on every machine."""

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.data.sources.compression import COMPRESSIONS
from prospero.errors import DataError, suggest

TABLE_ENDINGS = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq"})
"""Endings of files with rows and fields; every other file is plain text."""


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


TEXT_ENDINGS = _set(
    """
    .txt .text .md .markdown .rst .org .adoc .tex .bib .log .srt .vtt .html .htm .xhtml .xml .svg .yaml .yml .toml
    .ini .cfg .conf .py .pyi .pyx .c .h .cc .cpp .cxx .hh .hpp .cu .cuh .rs .go .java .kt .scala .swift .m .mm .cs
    .fs .js .mjs .jsx .ts .tsx .vue .css .scss .sh .bash .zsh .fish .ps1 .bat .sql .r .jl .rb .php .pl .pm .lua
    .hs .ml .mli .clj .ex .exs .erl .el .lisp .scm .f .f90 .f95 .asm .s .v .vhd .proto .cmake .mk .nix .dart .zig
    """
)
"""Endings taken from a folder as plain text. A file named by itself, or by a glob, is read whatever its ending."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file: its path, its name relative to the root of the search, its size and its time of change."""

    path: Path
    name: str
    size: int
    mtime_ns: int

    @property
    def ending(self) -> str:
        """The lower-case ending, without that of the compression (".jsonl" for "a.jsonl.gz")."""
        return content_ending(self.path.name)


def content_ending(name: str) -> str:
    """Return the lower-case ending of a file name, without that of its compression."""
    stem, ending = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if ending in COMPRESSIONS else ending


def find_files(path: str, notes: Counter[str]) -> list[FoundFile]:
    """Return the files that `path` means, sorted by name. Raises `DataError` when there are none or nothing is in them.

    From a folder, files that are hidden or whose ending is not that of a text are left out and counted in `notes`.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            found = _in_folder(place, notes)
            if not found:
                raise DataError(_no_text(place, notes))
        elif place.exists():
            found = [_found(place, place.name)]
        elif glob.has_magic(path):
            found = _by_glob(str(place))
        else:
            raise DataError(_missing(place))
    except PermissionError as error:
        raise DataError(f"{error.filename or place}: no permission to read; change its mode or its owner.") from None
    if not any(file.size for file in found):
        what = "is empty" if len(found) == 1 else f"holds {len(found)} files, and all of them are empty"
        raise DataError(f"{place} {what}; give data.path= a file with text.")
    return sorted(found, key=lambda file: file.name)


def listing_hash(files: Iterable[FoundFile]) -> dict[str, Any]:
    """Return the number of files, their bytes and a hash over names, sizes and times of change."""
    digest = hashlib.blake2b(digest_size=16)
    count = total = 0
    for file in files:
        digest.update(f"{file.name}\0{file.size}\0{file.mtime_ns}\n".encode())
        count += 1
        total += file.size
    return {"files": count, "bytes": total, "listing": digest.hexdigest()}


def _found(path: Path, name: str) -> FoundFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: not a regular file or folder; save its content in a file first.")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: no permission to read; change its mode or its owner.")
    readable = os.fsencode(name).decode("utf-8", "replace").replace(os.sep, "/")
    return FoundFile(path=path, name=readable, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _in_folder(folder: Path, notes: Counter[str]) -> list[FoundFile]:
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            ending = content_ending(name)
            if name.startswith("."):
                notes["hidden files left out"] += 1
            elif ending not in TEXT_ENDINGS and ending not in TABLE_ENDINGS:
                notes[f"files left out: ending {ending or 'none'}"] += 1
            elif not path.is_file():
                notes["files left out: not a regular file, or a broken link"] += 1
            else:
                found.append(_found(path, os.path.relpath(path, folder)))
    return found


def _raise(error: OSError) -> None:
    raise error


def _by_glob(pattern: str) -> list[FoundFile]:
    paths = [Path(match) for match in glob.glob(pattern, recursive=True)]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise DataError(f"No file matches {pattern}; '*' stays in one folder, '**' goes into all below it.")
    fixed = os.path.dirname(glob.escape(pattern).split("[", 1)[0])  # the folders before the first of * ? [
    return [_found(path, os.path.relpath(path, fixed or ".")) for path in paths]


def _missing(place: Path) -> str:
    folder, missing = place.parent, place.name
    while not folder.is_dir() and folder != folder.parent:
        folder, missing = folder.parent, folder.name
    try:
        here = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        here = []
    what = f"{place} does not exist"
    if folder != place.parent:
        what += f" ({folder} has no '{missing}')"
    near = suggest(missing, here)
    shown = ", ".join(here[:8]) + (", ..." if len(here) > 8 else "")
    return f"{what}.{near or (f' In {folder}: {shown}.' if here else f' {folder} is empty.')} Give data.path=..."


def _no_text(folder: Path, notes: Counter[str]) -> str:
    left_out = ", ".join(f"{count} {reason}" for reason, count in notes.most_common(4)) or "it is empty"
    return (
        f"{folder} holds no file with text ({left_out}). Read from a folder: .txt, .md, .jsonl, .json, .csv, .tsv, "
        ".parquet, source code, each also .gz .bz2 .xz .zst; for other endings give data.path= a file or a glob."
    )
