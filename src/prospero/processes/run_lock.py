"""One process at a time trains in a run folder; a process that died, however it died, is no obstacle.

The lock is the system's own (flock), which ends with the process. On a file system that does not carry it to other
machines, the holder's name and the time of the file decide: the holder touches the file every few seconds, so a file
that stands still belongs to nobody.
"""

import json
import os
import socket
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from prospero.errors import ConfigError
from prospero.log import log
from prospero.processes.locks import lock_handle

FILE = ".lock"
BEAT_SECONDS = 5.0
"""Seconds between two touches of the file by its holder."""
_BEATS_TO_WAIT = 4


class RunLock:
    """The lock of a run folder, taken at once or refused."""

    def __init__(self, folder: Path, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self.path = folder / FILE
        self.beat_seconds = beat_seconds
        self._handle: int | None = None
        self._released = threading.Event()

    def take(self) -> "RunLock":
        """Take the lock; ConfigError names the process that holds it."""
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._try(handle)
            finally:
                if self._handle is None:
                    os.close(handle)
        os.register_at_fork(after_in_child=self._forget)
        threading.Thread(target=self._beat, daemon=True, name="run lock").start()
        return self

    def _try(self, handle: int) -> None:
        mine = lock_handle(handle)
        holder = _read(handle)
        if not mine or self._still_held_elsewhere(handle, holder):
            raise self._refusal(holder)
        if not _is_still_at(handle, self.path):
            return  # its holder has just removed it: try the new file
        me = {"host": socket.gethostname(), "pid": os.getpid(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(me).encode(), 0)
        except OSError:  # a full disk: no run begins here, so no lock stays
            self.path.unlink(missing_ok=True)
            raise
        self._handle = handle

    def _still_held_elsewhere(self, handle: int, holder: dict[str, Any]) -> bool:
        """Whether the named holder lives, where the system's lock says nothing about it."""
        if not holder or holder["host"] == socket.gethostname():
            return False
        log.info("%s names process %s on %s; waiting to see whether it lives", self.path, holder["pid"], holder["host"])
        before = os.stat(self.path).st_mtime_ns
        for _ in range(_BEATS_TO_WAIT):
            time.sleep(self.beat_seconds)
            if not self.path.exists():
                return False
            if os.stat(self.path).st_mtime_ns != before:
                return True
        return False

    def _refusal(self, holder: dict[str, Any]) -> ConfigError:
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}" if holder else "another process"
        return ConfigError(
            f"run_dir={self.path.parent} is in use by {who}; wait for it, end it (a file STOP in the folder does), or "
            f"choose another run_dir"
        )

    def _beat(self) -> None:
        while not self._released.wait(self.beat_seconds):
            if self._handle is not None:
                os.utime(self._handle)

    def _forget(self) -> None:
        """In a forked process (a loader's worker): let go of the file, so that the lock ends with its owner."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()

    def release(self) -> None:
        """Give the lock back and remove the file."""
        self._released.set()
        if self._handle is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def _read(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"host", "pid", "since"} <= found.keys() else {}


def _is_still_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def is_held(folder: Path) -> bool:
    """Whether a process trains in `folder` now; nothing is made or touched.

    On a file system without locks that is told by the holder's beat: a file that was touched a moment ago.
    """
    path = folder / FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # no such file, or none that may be looked at
    try:
        if not lock_handle(handle):
            return True
        holder = _read(handle)
        elsewhere = bool(holder) and holder["host"] != socket.gethostname()
        return elsewhere and time.time() - os.fstat(handle).st_mtime < _BEATS_TO_WAIT * BEAT_SECONDS
    finally:
        os.close(handle)
