"""The manifest of a folder: what its files are, by size and SHA-256. It also holds the SHA-256 of itself."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prospero.errors import DataError
from prospero.paths import write_text

MANIFEST = "manifest.json"
FORMAT_VERSION = 2
_BLOCK_BYTES = 2**20
_THREADS = 4
_WORTH_THREADS_BYTES = 2**22


class OtherFormat(DataError):
    """The folder is whole, and was written by another version of Prospero."""


def render(facts: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of a manifest: `facts` (plain values), `files` (name -> bytes, sha256), and its own hash."""
    return _signed({"format_version": FORMAT_VERSION, **facts, "files": {name: files[name] for name in sorted(files)}})


def write_manifest(folder: Path, facts: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the manifest of `folder`, whole or not at all, and make it durable."""
    write_text(folder / MANIFEST, render(facts, files))


def sign_folder(folder: Path, names: Iterable[str], **facts: Any) -> None:
    """Hash the named files of `folder` and write its manifest."""
    write_manifest(folder, facts, {name: describe_file(folder / name) for name in names})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of `folder`; DataError when it is missing or any bit of it differs from what was written."""
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}, so {folder} cannot be trusted: it was never finished") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    try:
        found = json.loads(raw.decode("utf-8"))
        whole = isinstance(found, dict) and _signed({k: v for k, v in found.items() if k != "sha256"}).encode() == raw
    except (ValueError, RecursionError):
        whole, found = False, {}
    if not whole:
        raise DataError(f"{path} is damaged: its hash does not fit what it says")
    if found.get("format_version") != FORMAT_VERSION:
        raise OtherFormat(
            f"{folder} is of format version {found.get('format_version')}; this Prospero reads {FORMAT_VERSION}"
        )
    if not _describes_files(found.get("files")):
        raise DataError(f"{path} is damaged: it does not say what files there are")
    return found


def verify_folder(folder: Path, *, part: int = 0, parts: int = 1) -> dict[str, Any]:
    """Read the files of `folder`, compare them with its manifest and return the manifest; DataError at a difference.

    Of `parts` processes that share the work each reads the files of its `part`.
    """
    manifest = read_manifest(folder)
    names = list(manifest["files"])[part::parts]
    compare_files(folder, {name: manifest["files"][name] for name in names})
    return manifest


def compare_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Read `files` (name -> bytes, sha256) of `folder` and compare them; DataError at a difference."""
    for wrong in _differences(folder, files):
        if wrong:
            raise DataError(wrong)


def _describes_files(files: Any) -> bool:
    """Whether `files` is a table of names inside the folder, each with its size and hash."""
    if not isinstance(files, dict):
        return False
    plain = all(Path(name).name == name for name in files)
    return plain and all(
        isinstance(facts, dict) and type(facts.get("bytes")) is int and isinstance(facts.get("sha256"), str)
        for facts in files.values()
    )


def _differences(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> list[str | None]:
    def compare(name: str) -> str | None:
        return _difference(folder / name, files[name])

    if sum(facts["bytes"] for facts in files.values()) < _WORTH_THREADS_BYTES:
        return [compare(name) for name in files]
    with ThreadPoolExecutor(_THREADS) as pool:  # hashing leaves Python's lock
        return list(pool.map(compare, files))


def describe_file(path: Path) -> dict[str, Any]:
    """Return {bytes, sha256} of a file."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _difference(path: Path, written: Mapping[str, Any]) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    if size != written["bytes"]:
        return f"{path} is damaged: it has {size} bytes instead of {written['bytes']}"
    try:
        same = describe_file(path)["sha256"] == written["sha256"]
    except OSError as error:
        return f"{path} is damaged: it cannot be read ({error.strerror})"
    return None if same else f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}"


def _signed(content: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return json.dumps({**content, "sha256": digest}, indent=1) + "\n"
