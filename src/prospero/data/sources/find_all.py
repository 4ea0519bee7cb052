"""Find the files that several paths mean, of this machine and of others: one after another, each file once."""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prospero.data.sources.braces import has_braces, unbraced
from prospero.data.sources.find_files import NAMED_TWICE, FoundFile, find_files, fixed_part, readable_name
from prospero.data.sources.remote import find_remote, fixed_url, is_remote, split_url
from prospero.errors import DataError


def find_all(paths: Sequence[str], notes: Counter[str]) -> list[FoundFile]:
    """Return the files of all paths, those of one sorted by name. Raises `DataError` when one of them finds none.

    Files of one path are named as that path names them; those of several by their way from the folder that all have in
    common. `{a,b}` in a path stands for two paths, unless a file is called so.
    """
    wanted = [one for path in paths for one in _alternatives(path)]
    if len(wanted) == 1:
        return _find(wanted[0], notes)
    found = [(path, file) for path in wanted for file in _find(path, notes)]
    folders = [os.path.abspath(_root(path)) for path in wanted if not is_remote(path)]
    common = os.path.commonpath(folders) if folders else ""
    urls = [fixed_url(path) for path in wanted if is_remote(path)]
    base = _common_url(urls) if not folders else ""
    named: dict[str, FoundFile] = {}
    for path, file in found:
        local = not is_remote(path)
        mark = os.path.realpath(file.path) if local else file.place
        notes[NAMED_TWICE] += mark in named
        name = readable_name(os.path.relpath(os.path.abspath(file.path), common)) if local else file.place
        named.setdefault(mark, replace(file, name=name.removeprefix(base)))
    notes += Counter()  # takes out what was counted and not found
    return list(named.values())


def _alternatives(path: str) -> list[str]:
    if not has_braces(path) or (not is_remote(path) and Path(path).expanduser().exists()):
        return [path]
    try:
        return unbraced(path)
    except ValueError as error:
        raise DataError(f"{path[:200]}: {error}; give a list of paths (data.paths), or a folder") from None


def _find(path: str, notes: Counter[str]) -> list[FoundFile]:
    return list(find_remote(path, notes)) if is_remote(path) else find_files(path, notes)


def _root(path: str) -> Path:
    """Return the folder that the files of a path are named from."""
    place = Path(path).expanduser()
    if place.is_dir():
        return place
    return place.parent if place.exists() else Path(fixed_part(str(place)))


def _common_url(urls: Sequence[str]) -> str:
    """Return the longest folder that URLs of one protocol have in common, with its slash; of several none."""
    if len({split_url(url)[0] for url in urls}) > 1:
        return ""
    shared = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*(url.split("/") for url in urls)))
    return "".join(f"{parts[0]}/" for parts in shared)
