"""The one logger of the program; `configure` is called once by each command."""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from prospero.printable import printable, printable_lines
from prospero.secret_values import scrub

log = logging.getLogger("prospero")

SILENT = logging.ERROR
"""The level of ranks other than 0: they say errors only."""


class _Scrubbed(logging.Formatter):
    """Takes remembered secrets out of every line, tracebacks included, and shows what steers a terminal as escapes.

    A message is one line: a line end within it comes from foreign text and would forge a line of the log.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return scrub(printable_lines(super().format(record)))


class _LogFile(logging.FileHandler):
    """A log that says once when it cannot be written; its lines wait in the buffer of the file for room."""

    _said = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what the system refuses, without a traceback and without ending the program."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._said:
            self._said = True
            print(f"{Path(self.baseFilename).name} cannot be written ({error.strerror})", file=sys.stderr)

    def close(self) -> None:
        """Close the file, also where its last lines find no room."""
        with suppress(OSError):
            super().close()


def configure(log_file: Path | None = None, *, level: int = logging.INFO) -> None:
    """Print short lines to standard error and, when `log_file` is given, dated lines to that file."""
    log.setLevel(level)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(_Scrubbed("%(message)s"))
    log.addHandler(screen)
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = _LogFile(log_file, encoding="utf-8")
        to_file.setFormatter(_Scrubbed("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(to_file)


def duration(seconds: float) -> str:
    """Return `12s`, `3m20s` or `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
