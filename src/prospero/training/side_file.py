"""A file beside the run that grows as it goes, such as samples.md; one that cannot be written never ends the run."""

from pathlib import Path

from prospero.log import log


class SideFile:
    """Appends text; what the system refuses (the disk is full) is kept in memory and tried again with the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting = ""
        self._failing = False

    def append(self, text: str) -> None:
        """Write `text` and what still waits; said once when that fails, and once when it works again."""
        self._waiting += text
        data, size = self._waiting.encode(), None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                size = file.seek(0, 2)
                while data:
                    data = data[file.write(data) :]
        except OSError as error:
            self._cut_to(size)
            if not self._failing:
                log.warning("%s cannot be written (%s); it is tried again", self.path.name, error.strerror or error)
            self._failing = True
            return
        if self._failing:
            log.info("%s is written again", self.path.name)
        self._waiting, self._failing = "", False

    def _cut_to(self, size: int | None) -> None:
        """Take the part of a text away that found room."""
        if size is None:
            return
        try:
            with open(self.path, "r+b") as file:
                file.truncate(size)
        except OSError as error:
            log.warning("%s may hold a text twice (%s)", self.path.name, error.strerror or error)
