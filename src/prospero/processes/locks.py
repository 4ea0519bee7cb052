"""Files that one process holds at a time; the system lets go of them when the process dies, however it dies.

The lock is the system's own on an open file (flock, or LockFileEx), taken through the package filelock. It ends when
the file is closed.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

SECONDS_BEFORE_A_WORD = 1.0
"""How long a process waits for another one before it says so."""
_POLL_SECONDS = 0.05


def lock_handle(handle: int) -> bool:
    """Lock an open file until it is closed; False when another process, or another handle of this one, holds it.

    True where the file system has no such locks: then nobody is kept out, and whoever writes last wins.
    """
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            return True
        raise


def try_lock(path: Path) -> int | None:
    """Lock the file `path`, made when it is not there; return its handle (`os.close` ends the lock), or None."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    held = False
    try:
        held = lock_handle(handle)
    finally:
        if not held:
            os.close(handle)
    return handle if held else None


@contextmanager
def locked(path: Path, say_that_it_waits: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the file `path` inside the block, after whoever holds it now."""
    started, said = time.monotonic(), False
    while (handle := try_lock(path)) is None:
        if not said and time.monotonic() - started >= SECONDS_BEFORE_A_WORD:
            say_that_it_waits()
            said = True
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(handle)
