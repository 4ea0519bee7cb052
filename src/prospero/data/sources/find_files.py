"""Find the files that a path, a folder or a glob means; in an order that is the same on every machine."""

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from prospero.data.sources.compression import COMPRESSIONS
from prospero.errors import DataError, suggest
from prospero.printable import printable

TABLE_ENDINGS = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq"})
"""Endings of files with rows and fields; every other file is plain text."""


READ_ALREADY = "folders left out: a link led to them before"
NAMED_TWICE = "further names of files that are read already (links)"


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
    def place(self) -> str:
        """Where it is, as errors say it."""
        return str(self.path)

    @property
    def version(self) -> str:
        """What else changes with the content, beside size and time; nothing for a file of this machine."""
        return ""

    def open(self) -> BinaryIO:
        """Open it for reading bytes; raises OSError."""
        return open(self.path, "rb")

    @property
    def ending(self) -> str:
        """The lower-case ending, without that of the compression (".jsonl" for "a.jsonl.gz")."""
        return content_ending(self.path.name)


def content_ending(name: str) -> str:
    """Return the lower-case ending of a file name, without that of its compression."""
    stem, ending = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if ending in COMPRESSIONS else ending


def is_text(ending: str) -> bool:
    """Return whether a folder's file with this `content_ending` is read."""
    return ending in TEXT_ENDINGS or ending in TABLE_ENDINGS


def why_left_out(name: str, also: Collection[str] = ()) -> str | None:
    """Return why a name below a folder, or in an archive, is not read; None when it is a text's (or ends in `also`)."""
    *folders, own = [part for part in name.split("/") if part not in ("", ".", "..")] or [""]
    ending = content_ending(own)
    if any(folder.startswith(".") for folder in folders):
        return "files in hidden folders left out"
    if own.startswith("."):
        return "hidden files left out"
    return None if is_text(ending) or ending in also else f"files left out: ending {printable(ending) or 'none'}"


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
            found = _by_glob(str(place), notes)
        else:
            raise DataError(_missing(place))
    except PermissionError as error:
        raise DataError(f"{error.filename or place}: no permission to read; change its mode or its owner.") from None
    notes += Counter()  # takes out what was counted and not found
    if not any(file.size for file in found):
        what = "is empty" if len(found) == 1 else f"holds {len(found)} files, and all of them are empty"
        raise DataError(f"{place} {what}; give data.path= a file with text.")
    return sorted(found, key=lambda file: file.name)


def listing_hash(files: Iterable[FoundFile]) -> dict[str, Any]:
    """Return the number of files, their bytes and a hash over names, sizes and times of change."""
    digest = hashlib.blake2b(digest_size=16)
    count = total = 0
    for file in files:
        version = f"\0{file.version}" if file.version else ""
        digest.update(f"{file.name}\0{file.size}\0{file.mtime_ns}{version}\n".encode())
        count += 1
        total += file.size
    return {"files": count, "bytes": total, "listing": digest.hexdigest()}


def _found(path: Path, name: str) -> FoundFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: not a regular file or folder; save its content in a file first.")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: no permission to read; change its mode or its owner.")
    return FoundFile(path=path, name=readable_name(name), size=status.st_size, mtime_ns=status.st_mtime_ns)


def readable_name(name: str) -> str:
    """Return the name of a file with slashes, and with U+FFFD for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace").replace(os.sep, "/")


def _in_folder(folder: Path, notes: Counter[str]) -> list[FoundFile]:
    """Return the files below `folder`, also through links; what can be reached in two ways is taken once.

    A folder's or file's own name has precedence over those of links to it.
    """
    seen: set[str] = set()  # the real paths of the folders and files that are taken already
    found: list[FoundFile] = []
    waiting = [folder]
    while waiting:
        start = waiting.pop(0)
        if _is_new(start, seen):
            waiting += _walk(start, folder, seen, found, notes)
        else:
            notes[READ_ALREADY] += 1
    return _each_once(found, notes)


def _walk(start: Path, root: Path, seen: set[str], found: list[FoundFile], notes: Counter[str]) -> list[Path]:
    """Add the files below `start` to `found`; return the links to folders that were met, which are not followed yet."""
    links: list[Path] = []
    for parent, folders, names in os.walk(start, onerror=_raise):
        here = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
        notes["hidden folders left out"] += len(folders) - len(here)
        own = [path for path in here if not path.is_symlink()]
        links += [path for path in here if path.is_symlink()]
        folders[:] = [path.name for path in own if _is_new(path, seen)]
        notes[READ_ALREADY] += len(own) - len(folders)
        for name in names:
            path = Path(parent, name)
            ending = content_ending(name)
            if name.startswith("."):
                notes["hidden files left out"] += 1
            elif not is_text(ending):
                notes[f"files left out: ending {ending or 'none'}"] += 1
            elif not path.is_file():
                notes["files left out: not a regular file, or a broken link"] += 1
            else:
                found.append(_found(path, os.path.relpath(path, root)))
    return links


def _is_new(folder: Path, seen: set[str]) -> bool:
    """Note the real path of `folder`; return whether it was not met before, which ends every loop of links."""
    real = os.path.realpath(folder)
    new = real not in seen
    seen.add(real)
    return new


def _each_once(found: list[FoundFile], notes: Counter[str]) -> list[FoundFile]:
    """Return each file once, under its own name if that is among them, else the shortest and first."""
    names: dict[str, FoundFile] = {}
    for file in sorted(found, key=lambda file: (file.path.is_symlink(), file.name.count("/"), file.name)):
        real = os.path.realpath(file.path)
        if real in names:
            notes[NAMED_TWICE] += file.path != names[real].path
        names.setdefault(real, file)
    return list(names.values())


def _raise(error: OSError) -> None:
    raise error


def _by_glob(pattern: str, notes: Counter[str]) -> list[FoundFile]:
    matches = [Path(match) for match in dict.fromkeys(glob.glob(pattern, recursive=True))]  # two ** match thrice
    paths = [path for path in matches if path.is_file()]
    if "**" not in pattern:
        notes["folders left out: '*' stays in one folder, '**' goes into all below"] += sum(map(Path.is_dir, matches))
    notes["files left out: not a regular file, or a broken link"] += sum(
        not (path.is_file() or path.is_dir()) for path in matches
    )
    if not paths:
        raise DataError(f"No file matches {pattern}; '*' stays in one folder, '**' goes into all below it.")
    return _each_once([_found(path, os.path.relpath(path, fixed_part(pattern) or ".")) for path in paths], notes)


def fixed_part(pattern: str) -> str:
    """Return the folders of a glob before the first of * ? [."""
    return os.path.dirname(glob.escape(pattern).split("[", 1)[0])


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
    left_out = ", ".join(f"{count} {reason}" for reason, count in notes.most_common(4) if count) or "it is empty"
    return (
        f"{folder} holds no file with text ({left_out}). Read from a folder: .txt, .md, .jsonl, .json, .csv, .tsv, "
        ".parquet, source code, each also .gz .bz2 .xz .zst; for other endings give data.path= a file or a glob."
    )
