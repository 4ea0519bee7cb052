"""The checkpoint folders of a run: their names, how one appears and disappears at once, and what a kill leaves."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from prospero.log import log
from prospero.paths import fsync_folder

_REPLACED, _REMOVED, _UNFINISHED = "replaced", "removed", "tmp"


def name_of_step(step: int) -> str:
    """Return the folder's name of an optimiser step."""
    return f"step_{step:08d}"


def folders_of(checkpoints: Path) -> Iterator[Path]:
    """Yield the published checkpoints below `checkpoints`, newest first."""
    found = (path for path in checkpoints.glob("step_*") if path.is_dir() and path.name[5:].isdigit())
    yield from sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def unfinished(final: Path) -> Path:
    """Return a new name beside `final` for what is being written."""
    return _beside(final, _UNFINISHED)


def publish(temporary: Path, final: Path) -> None:
    """Let the finished folder `temporary` become `final`, durably; one that was there is replaced."""
    fsync_folder(temporary)
    replaced = _beside(final, _REPLACED) if final.exists() else None
    if replaced is not None:
        os.replace(final, replaced)
    os.replace(temporary, final)
    fsync_folder(final.parent)
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder such that it is there as a whole or not at all."""
    if not folder.exists():
        return
    if not folder.name.startswith("."):
        hidden = _beside(folder, _REMOVED)
        os.replace(folder, hidden)
        fsync_folder(folder.parent)
        folder = hidden
    shutil.rmtree(folder, ignore_errors=True)


def remove_left_over(checkpoints: Path) -> None:
    """Remove what killed processes left below `checkpoints`; call it when no process writes there."""
    for hidden in sorted(checkpoints.glob(".step_*")):
        name, _, rest = hidden.name.removeprefix(".").partition(".")
        final = checkpoints / name
        if rest.startswith(_REPLACED) and not final.exists():
            os.replace(hidden, final)  # killed between the two renames: the old one is the good one
            continue
        log.info("removing %s, left over by a process that was stopped", hidden.name)
        shutil.rmtree(hidden, ignore_errors=True)


def _beside(final: Path, word: str) -> Path:
    return final.with_name(f".{final.name}.{word}-{uuid.uuid4().hex[:8]}")
