"""What the loggers share: they write on rank 0 only, and none of them ever stops a run."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from prospero.log import log
from prospero.paths import disk_is_full
from prospero.processes import ranks
from prospero.runs.folder import RunFolder


class RunLogger(Logger):
    """A logger whose errors are one warning, after which it is off and training goes on. A full disk turns none off.

    A logger fills in `open_at`, `write_metrics`, `write_text` and `finish`; whatever these raise is handed to `broken`.
    """

    title = ""
    """What it is called in the warning."""

    def __init__(self) -> None:
        super().__init__()
        self.off = False
        self._refused = False

    @property
    def name(self) -> str:
        """The logger's name."""
        return type(self).__name__

    @property
    def version(self) -> str:
        """There is one a run."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the settings are in config.yaml, and loggers that show them take them at the start."""

    def resume_at(self, step: int) -> None:
        """Begin, or go on after `step` (0: begins): what was written for later steps does not count any more."""
        self._safely("start", lambda: self.open_at(step))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write `metrics` of `step`."""
        assert step is not None, "every row has a step"
        self._safely("write", lambda: self.write_metrics(metrics, step))

    def log_text(self, name: str, text: str, step: int) -> None:
        """Write `text`, where the logger shows text."""
        self._safely("write text", lambda: self.write_text(name, text, step))

    def log_table(self, name: str, rows: Sequence[dict[str, str]], step: int) -> None:
        """Write a table, where the logger shows tables or text; all rows have the columns of the first."""
        self._safely("write a table", lambda: self.write_table(name, rows, step))

    def log_rows(self, name: str, rows: Sequence[dict[str, Any]], step: int) -> None:
        """Add rows to a table that grows with the run, where the logger shows tables; all have the first's columns."""
        self._safely("add to a table", lambda: self.write_rows(name, rows, step))

    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Show a PNG file, where the logger shows pictures."""
        self._safely("write a picture", lambda: self.write_picture(name, path, step))

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Keep values that stand for the whole run, where the logger keeps such."""
        self._safely("write the summary", lambda: self.write_summary(values))

    def log_files(self, folder: RunFolder) -> None:
        """Tell that the run has ended and all its files are written, where the logger takes files."""
        self._safely("take the files", lambda: self.write_files(folder))

    def close(self, exit_code: int = 0) -> None:
        """End; always called once, however the run ends. `exit_code` is the run's."""
        self._safely("finish", lambda: self.finish(exit_code))

    @abstractmethod
    def open_at(self, step: int) -> None:
        """Begin, or go on after `step`."""

    @abstractmethod
    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write one row."""

    def write_text(self, name: str, text: str, step: int) -> None:
        """Do nothing: only some loggers show text."""

    def write_table(self, name: str, rows: Sequence[dict[str, str]], step: int) -> None:
        """Write the table as text; some loggers show tables."""
        lines = ["\n".join(f"{column}: {cell}" for column, cell in row.items()) for row in rows]
        self.write_text(name, "\n\n".join(lines), step)

    def write_rows(self, name: str, rows: Sequence[dict[str, Any]], step: int) -> None:
        """Write the rows as a table of their own; some loggers show one table that grows."""
        self.write_table(name, [{column: str(cell) for column, cell in row.items()} for row in rows], step)

    def write_picture(self, name: str, path: Path, step: int) -> None:
        """Do nothing: only some loggers show pictures."""

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Do nothing: only some loggers keep values of the whole run."""

    def write_files(self, folder: RunFolder) -> None:
        """Do nothing: only some loggers take files."""

    @abstractmethod
    def finish(self, exit_code: int) -> None:
        """Flush and close."""

    def broken(self, what: str, error: Exception) -> None:
        """Say the error once and write nothing more."""
        self.off = True
        log.warning("%s failed to %s (%s); training goes on without it", self.title, what, first_line(error))

    def _safely(self, what: str, action: Callable[[], None]) -> None:
        if self.off or not ranks.is_rank_zero():
            return
        try:
            action()
            self._refused = False
        except Exception as error:  # whatever a logger raises, training goes on
            if disk_is_full(error):  # for a while: the next row may find room
                if not self._refused:
                    log.warning("%s failed to %s (%s); it is tried again", self.title, what, first_line(error))
                self._refused = True
            else:
                self.broken(what, error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, else its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
