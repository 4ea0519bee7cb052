"""Folders that appear whole or not at all: work goes on in a hidden sibling that is renamed at the end.

The worker holds a lock file that the system frees when the process dies, however it dies. Whoever gets a lock knows
that hidden folders under the same name are left over, and removes them. A second process that wants the same folder
waits and finds it done.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prospero.errors import DataError
from prospero.log import log
from prospero.paths import disk_is_full, fsync_folder, put_aside
from prospero.processes import locks

PREFIX = ".preparing-"


@contextmanager
def readable_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk, a folder that cannot be written and other refusals of the system into one line."""
    try:
        yield
    except OSError as error:
        if disk_is_full(error):
            raise DataError(
                f"the disk that holds {folder} is full; free some space or choose another folder"
            ) from error
        inside = error.filename is None or Path(str(error.filename)).is_relative_to(folder)
        if inside and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DataError(f"nothing can be written to {folder} ({error.strerror}); choose another folder") from error
        where = f"{error.filename}: " if error.filename else ""
        what = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{where}{what}") from error


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of `folder/name`; waits for a process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with locks.locked(folder / f".{name}.lock", lambda: log.info("Another process prepares %s; waiting for it.", name)):
        _remove_left_over(folder, name)
        yield


def publish(folder: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """Let `fill` write into a hidden folder and rename it to `folder/name`; call with the lock held.

    What stands there already is damaged, or it would have been used; it is renamed and said, never deleted.
    """
    hidden = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=folder))
    final = folder / name
    try:
        os.chmod(hidden, 0o755)
        fill(hidden)
        fsync_folder(hidden)
        if final.exists():
            log.warning("the damaged data are kept as %s; delete them when you need the room", put_aside(final))
        os.replace(hidden, final)
        fsync_folder(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return final


def _remove_left_over(folder: Path, name: str) -> None:
    """Remove hidden folders of dead processes: all under `name`, others where their lock is free."""
    for hidden in folder.glob(f"{PREFIX}*"):
        owner = hidden.name.removeprefix(PREFIX).rpartition("-")[0]
        if owner == name or _is_free(folder / f".{owner}.lock"):
            log.info("Removing %s, left over by a process that was stopped.", hidden.name)
            shutil.rmtree(hidden, ignore_errors=True)


def _is_free(lock: Path) -> bool:
    try:
        handle = locks.try_lock(lock)
    except OSError:
        return False
    if handle is not None:
        os.close(handle)
    return handle is not None
