"""How a run stands, told from its files and its lock alone."""

import json
import os
import socket
import time
from enum import Enum
from pathlib import Path
from typing import Any

from prospero.board.metrics_reader import Identity, identity_of
from prospero.processes.run_lock import BEAT_SECONDS, is_held
from prospero.runs.folder import RunFolder
from prospero.runs.result import Status


class State(Enum):
    """How a run stands."""

    running = "running"
    """A living process holds its lock."""
    finished = "finished"
    """It has written its result."""
    pruned = "pruned"
    """The pruner of its sweep has ended it."""
    stopped = "stopped"
    """It has saved and left, asked by a signal or by its file STOP; `resume=auto` goes on with it."""
    failed = "failed"
    """It has ended by itself without a result."""
    killed = "killed"
    """Its process died with the lock in its hands."""
    damaged = "damaged"
    """Its settings, its result or its metrics cannot be read."""


FRESH_SECONDS = 4 * BEAT_SECONDS
"""A lock file touched within these seconds has a holder that lives, or has died a moment ago."""
_ASKED_AGAIN_SECONDS = 30.0
_LEFT = b"saving, then leaving"
"""What a run writes into its log when it stops to be continued."""
_TAIL_BYTES = 4096


class LockWatch:
    """Whether runs are being trained, without taking their locks where the files themselves say it.

    Who tries a lock holds it for a moment, in which a run that begins would be refused. So a lock is tried only where
    nobody has touched its file for a while or the process that it names is gone, and then rarely.
    """

    def __init__(self) -> None:
        self._tried: dict[Path, tuple[Identity, float, bool]] = {}

    def is_held(self, folder: RunFolder) -> bool:
        """Whether a living process holds the lock of the folder."""
        identity = identity_of(folder.lock)
        if identity is None:
            return False
        age = time.time() - identity[2] / 1e9
        if age < FRESH_SECONDS and _its_process_may_live(folder.lock):
            return True
        known, now = self._tried.get(folder.path), time.monotonic()
        if known is not None and known[0] == identity and now - known[1] < _ASKED_AGAIN_SECONDS:
            return known[2]
        held = is_held(folder.path)
        self._tried[folder.path] = (identity, now, held)
        return held


def state_of(folder: RunFolder, held: bool, result: dict[str, Any] | None, damage: list[str]) -> State:
    """Return how a run stands.

    `result` is what it has written at its end (None: nothing), `damage` what of its files cannot be read.
    """
    if held:
        return State.running
    if damage:
        return State.damaged
    if result is not None and not _is_newer(folder.lock, folder.result):
        found = {Status.pruned.value: State.pruned, Status.stopped.value: State.stopped}
        return found.get(str(result.get("status")), State.finished)
    if os.path.lexists(folder.lock):
        return State.killed
    return State.stopped if _has_left_to_go_on(folder.log) else State.failed


def _its_process_may_live(lock: Path) -> bool:
    """Whether the process that a lock names lives; True where it is another machine's, or cannot be told."""
    try:
        holder = json.loads(lock.read_bytes()[:_TAIL_BYTES])
        host, pid = holder["host"], int(holder["pid"])
    except (OSError, ValueError, TypeError, LookupError):
        return True
    if host != socket.gethostname() or pid <= 0 or os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _is_newer(one: Path, other: Path) -> bool:
    """Whether `one` is there and was touched after `other` was written."""
    first, second = identity_of(one), identity_of(other)
    return first is not None and second is not None and first[2] > second[2]


def _has_left_to_go_on(log: Path) -> bool:
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return _LEFT in file.read(_TAIL_BYTES)
    except OSError:
        return False
