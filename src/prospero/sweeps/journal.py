"""The file of an Optuna study on a full disk: a change that finds no room is taken back and waits for it."""

import json
import os
import time
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from prospero.paths import disk_is_full
from prospero.sweeps.job import short
from prospero.sweeps.room import PATIENCE_SECONDS, POLL_SECONDS


class PatientJournal(JournalFileBackend):
    """Optuna's journal, whose lines are written whole or not at all; with no room for a minute the error is raised."""

    def __init__(self, journal: Path) -> None:
        self.journal, self.lock = journal, JournalFileSymlinkLock(str(journal))
        super().__init__(str(journal), self.lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append the lines of `logs`, when there is room."""
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        end, said = time.monotonic() + PATIENCE_SECONDS, False
        while True:
            try:
                self._append_once(content)
            except OSError as error:
                if not disk_is_full(error) or time.monotonic() > end:
                    raise
                if not said:
                    print(f"the disk of {short(self.journal.parent)} is full; the study waits for room", flush=True)
                said = True
                time.sleep(POLL_SECONDS)
            else:
                return

    def _append_once(self, content: bytes) -> None:
        self.lock.acquire()  # a link in the folder: that, too, may find no room
        try:
            before = self.journal.stat().st_size
            try:
                self.write(content)
            except OSError:
                os.truncate(self.journal, before)  # half a line would be an error to whoever reads the study
                raise
        finally:
            self.lock.release()

    def write(self, content: bytes) -> None:
        """Append bytes and make them durable."""
        with open(self.journal, "ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
