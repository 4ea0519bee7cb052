"""A sweep on a full disk: what cannot be written waits for room, and so do the jobs; nothing is lost and none fails."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from prospero.errors import DataError
from prospero.paths import disk_is_full
from prospero.sweeps.job import short

PATIENCE_SECONDS = 60.0
"""How long a sweep that is over waits for room for its record and its table."""
ROOM_BYTES = 16_000_000
"""What must be free again before a job that had no room is started anew, at most a tenth of the disk."""
POLL_SECONDS = 0.2


def has_room(folder: Path) -> bool:
    """Whether the disk of a folder, which need not exist, has room for a job."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    usage = shutil.disk_usage(there)
    return usage.free >= min(ROOM_BYTES, usage.total // 10)


class Pending:
    """Files that are written whole, each with its newest content; what a full disk refuses is tried again."""

    def __init__(self) -> None:
        self._waiting: dict[Path, Callable[[], None]] = {}
        self._said = False

    def write(self, path: Path, write: Callable[[], None]) -> None:
        """Write a file now, or when there is room."""
        self._waiting[path] = write
        self.catch_up()

    def catch_up(self) -> None:
        """Write what waits, where there is room now."""
        for path, write in list(self._waiting.items()):
            try:
                write()
            except OSError as error:
                if not disk_is_full(error):
                    raise
                if not self._said:
                    print(f"the disk of {short(path.parent)} is full; the sweep's files wait for room", flush=True)
                    self._said = True
                return
            del self._waiting[path]
        self._said = False

    def finish(self) -> None:
        """Wait for room for what is left; DataError when there is none in the end."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self._waiting:
            self.catch_up()
            if not self._waiting:
                return
            if time.monotonic() > end:
                path = next(iter(self._waiting))
                raise DataError(
                    f"the disk that holds {short(path.parent)} is full, {path.name} is not up to date; free some space "
                    "and run the same command again: jobs that are over are not run again"
                )
            time.sleep(POLL_SECONDS)
