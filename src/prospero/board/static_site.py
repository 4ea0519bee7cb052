"""The board as one folder of plain files: the same pages, with their data beside them, from file:// or any web server.

A page that is opened from the disk may not fetch files, but may run scripts beside it. So the data are JSON inside of
one call each, `Data.arrived("<name>", {...})`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prospero.board.board import Board, drawn
from prospero.board.files import PAGES as SHOWN_KINDS
from prospero.board.files import open_file
from prospero.board.run_view import RunView
from prospero.board.server import INDEX, PAGES, POLICY, page_files
from prospero.errors import ConfigError
from prospero.paths import atomic_path, write_text
from prospero.runs.folder import RunFolder

DATA, FILES, LIST = "data", "files", "export.json"
FORMAT = "prospero board 1"
MOST_FILE_BYTES = 32 * 1024 * 1024
"""A larger page or picture is left out."""
_STATIC_POLICY = POLICY.partition("; frame-ancestors")[0]
_POLICY_OF_RUN_PAGES = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
_MODE = 'data-mode="live"'


def write_site(board: Board, out: Path, points: int) -> list[str]:
    """Write the board of what `board` has found into `out`; return notes on what was left out.

    Raises ConfigError when `out` holds something else than an earlier export. Files of an earlier one that are no
    longer written are removed.
    """
    earlier = _earlier(out)
    written, notes = [], []
    names = {key: f"run_{number:05d}" for number, key in enumerate(board.views)}
    reports: dict[str, str | None] = {}
    for key, view in board.views.items():
        files = _copied(view, out, names[key], written, notes)
        reports[key] = next((file["path"] for file in files if file["name"] == RunFolder(Path()).report.name), None)
        answer = {"curves": {}, **_curves(board, key, points), "detail": board.detail(key) | {"files": files}}
        _write_data(out, names[key], f"run/{key}", answer, written)
    answer = board.runs()
    answer["runs"] = [run | {"file": names[run["key"]], "report_at": reports[run["key"]]} for run in answer["runs"]]
    _write_data(out, "runs", "runs", answer | {"outputs": board.root.name}, written)
    for name in page_files():
        _write(out, f"page/{name}", (PAGES / name).read_text(encoding="utf-8"), written)
    index = (PAGES / INDEX).read_text(encoding="utf-8")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_STATIC_POLICY}">'
    index = index.replace(_MODE, 'data-mode="static"').replace("<head>", f"<head>\n{policy}", 1)
    _write(out, INDEX, index, written)
    _write(out, LIST, json.dumps({"format": FORMAT, "files": written}, indent=1) + "\n", written)
    for name in set(earlier) - set(written):
        (out / name).unlink(missing_ok=True)
    return notes


def _earlier(out: Path) -> list[str]:
    """The files of an earlier export in `out`; none where it is empty or not there."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return []
    try:
        found = json.loads((out / LIST).read_text(encoding="utf-8"))
        names = [name for name in found["files"] if isinstance(name, str)] if found["format"] == FORMAT else None
    except (OSError, ValueError, LookupError, TypeError):
        names = None
    if names is None:
        what = "holds other files" if out.is_dir() else "is a file"
        raise ConfigError(f"out={out} {what}; give an empty or a new folder, or that of an earlier export")
    return [name for name in names if re.fullmatch(rf"(page|{DATA}|{FILES})(/(?!\.)[\w.+=-]+){{1,2}}", name)]


def _curves(board: Board, key: str, points: int) -> dict[str, Any]:
    reader = board.columns(key)
    names = [name for name in reader.columns if name != "step"]
    found = {name: drawn(reader, name, points) for name in names}
    axes = next((one["axes"] for one in found.values()), {})
    return {"curves": {name: one["curve"] for name, one in found.items()}, "axes": axes}


def _copied(view: RunView, out: Path, name: str, written: list[str], notes: list[str]) -> list[dict[str, Any]]:
    """Copy a run's pages and pictures; return the entries of those that were, with their new places."""
    from prospero.board.files import files_of

    found, taken = [], set()
    for entry in files_of(view.place.path):
        if not entry["path"].endswith(SHOWN_KINDS):
            continue
        opened = open_file(view.place.path, entry["path"])
        if opened is None:
            continue
        file, kind, size = opened
        with file:
            if size > MOST_FILE_BYTES:
                notes.append(f"{view.place.name}: {entry['name']} has {size:,} bytes and is left out")
                continue
            data = file.read(MOST_FILE_BYTES)
        place = next(name for name in _names_like(entry["path"]) if name not in taken)
        taken.add(place)
        target = f"{FILES}/{name}/{place}"
        with atomic_path(out / target) as temporary:
            temporary.write_bytes(_without_scripts(data) if kind.startswith("text/html") else data)
            temporary.chmod(0o644)
        written.append(target)
        found.append(entry | {"path": target, "bytes": size})
    return found


def _names_like(path: str) -> Iterator[str]:
    stem = re.sub(r"[^\w.+=-]+", "_", path, flags=re.ASCII).strip("._")[-120:]
    yield stem
    for number in range(2, 10_000):
        yield f"{number}_{stem}"


def _without_scripts(page: bytes) -> bytes:
    """A run's page whose scripts are refused by the browser: its policy comes before anything that it holds."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY_OF_RUN_PAGES}">'
    return f'<!doctype html><meta charset="utf-8">{policy}\n'.encode() + page


def _write_data(out: Path, file: str, name: str, answer: Any, written: list[str]) -> None:
    text = json.dumps(answer, allow_nan=False, separators=(",", ":"))
    _write(out, f"{DATA}/{file}.js", f"Data.arrived({json.dumps(name)},{text});\n", written)


def _write(out: Path, name: str, text: str, written: list[str]) -> None:
    write_text(out / name, text)
    written.append(name)
