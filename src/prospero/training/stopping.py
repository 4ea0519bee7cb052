"""Why a run may have to stop from outside: signals, a file STOP in its folder, the time that it was given.

They are only remembered here; all ranks agree on them once a step, so that every rank stops after the same one.
"""

import signal
import time
from contextlib import ExitStack

import lightning as L

from prospero.log import log
from prospero.printable import printable
from prospero.processes import signals
from prospero.runs.folder import RunFolder
from prospero.training.guards.step_report import STOP_REASONS
from prospero.training.state import RunState

STOP_FILE_CHECKED_EVERY_SECONDS = 1.0
_MOST_SAID = 200
"""Characters of a STOP file that become part of the run's reason to stop."""


class StopReasons:
    """This rank's reasons to stop, and what stopping for one means."""

    def __init__(self, folder: RunFolder, limit_seconds: float | None, state: RunState) -> None:
        self.folder, self.limit_seconds, self.state = folder, limit_seconds, state
        self._caught = ExitStack()
        self._stop_file_seen = False
        self._stop_file_looked = 0.0

    def begin(self) -> None:
        """Remember signals from now on, instead of ending the program."""
        if not signals.watch.active:  # else a command watches from its start to its end
            self._caught.enter_context(signals.watched())
        signals.watch.defer()

    def end(self) -> None:
        """Give the signals back."""
        self._caught.close()

    def forget_old_stop_file(self) -> None:
        """Remove a file STOP that lies there before the run begins: it is from another time."""
        if self.folder.stop.exists():
            log.warning("removing %s: it was there before this run began", self.folder.stop)
            self.folder.stop.unlink(missing_ok=True)

    def here(self, trainer: L.Trainer) -> list[float]:
        """Return this rank's reasons, in the order of STOP_REASONS."""
        received = signals.watch.received
        name = signal.Signals(received).name if received else ""
        time_is_up = self.limit_seconds is not None and self.state.seconds >= self.limit_seconds
        found = {name, "STOP file" if self._finds_stop_file(trainer) else "", "max_minutes" if time_is_up else ""}
        return [float(reason in found) for reason in STOP_REASONS]

    def _finds_stop_file(self, trainer: L.Trainer) -> bool:
        now = time.monotonic()
        if trainer.is_global_zero and now - self._stop_file_looked >= STOP_FILE_CHECKED_EVERY_SECONDS:
            self._stop_file_looked = now
            self._stop_file_seen = self.folder.stop.exists()
        return self._stop_file_seen

    def stop(self, trainer: L.Trainer, step: int, reasons: list[float]) -> None:
        """Stop for the weightiest of `reasons`, those of all ranks together."""
        reason = next(name for name, flag in zip(STOP_REASONS, reasons) if flag)
        if reason == "max_minutes":
            self.stop_for_time(trainer)
            return
        trainer.should_stop = True
        self.state.stopping_to_resume = True
        self.state.stop_reason = reason
        if reason != "STOP file":
            self.state.exit_code = 128 + signal.Signals[reason].value
            self.state.stop_reason = f"interrupted by {reason}"
        elif trainer.is_global_zero:
            self.state.stop_reason += self._who_asked()
            self.folder.stop.unlink(missing_ok=True)
        log.warning("%s at step %d: saving, then leaving", self.state.stop_reason, step)

    def _who_asked(self) -> str:
        """Return what the STOP file says of itself; empty where it says nothing."""
        try:
            with open(self.folder.stop, encoding="utf-8", errors="replace") as file:
                said = file.read(_MOST_SAID).strip()
        except OSError:
            return ""
        return f": {printable(said)}" if said else ""

    def stop_for_time(self, trainer: L.Trainer) -> None:
        """End the run, whose time is over."""
        assert self.limit_seconds is not None, "there is a limit that is reached"
        trainer.should_stop = True
        self.state.stop_reason = f"max_minutes: {self.limit_seconds / 60:g} minutes are over"
