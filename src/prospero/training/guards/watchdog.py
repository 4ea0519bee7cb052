"""A run in which nothing moves any more says where it hangs, and ends.

One thread in each process looks whether steps, validation batches or saves go on. The process that has seen nothing
move for too long tells the others by a file in the run folder (they may hang in a collective, so nothing else reaches
them); each writes the stacks of its threads and leaves with exit code 4. Should a library hold Python's lock, so that
no thread can run, a timer of the interpreter itself prints the stacks and leaves with code 1.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from prospero.processes import ranks
from prospero.runs.folder import RunFolder

EXIT_CODE = 4
_LONGEST_POLL_SECONDS = 5.0


class Watchdog(Callback):
    """Looks on from `setup` to `teardown`; every hook that means progress is a beat."""

    def __init__(self, run_dir: Path, minutes: float, *, leave: Callable[[int], Any] = os._exit) -> None:
        self.run, self.limit_seconds, self.leave = RunFolder(run_dir), 60 * minutes, leave
        self.poll_seconds = min(_LONGEST_POLL_SECONDS, self.limit_seconds / 10)
        self._beats = 0
        self._last_beat = "the start"
        self._ended: threading.Event | None = None
        self._known_hang: str | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin to watch; all processes have found each other by now."""
        self.beat(f"the set-up of {stage}")
        if self._ended is None:
            self._known_hang = self._read_hang()
            self._ended = threading.Event()
            threading.Thread(target=self._watch, args=(self._ended,), daemon=True, name="watchdog").start()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Stop watching."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Stop watching: the run ends by itself."""
        self.teardown(trainer, pl_module, "fit")

    def beat(self, what: str) -> None:
        """Take note that something moves, namely `what`."""
        self._last_beat = what
        self._beats += 1

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """A micro-step is progress."""
        self.beat(f"step {trainer.global_step}")

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """A validation batch is progress."""
        self.beat(f"a validation batch of step {trainer.global_step}")

    def on_test_batch_end(self, *_: Any) -> None:
        """A test batch is progress."""
        self.beat("a test batch")

    def on_save_checkpoint(self, trainer: L.Trainer, *_: Any) -> None:
        """A save is progress."""
        self.beat(f"the save of step {trainer.global_step}")

    def _watch(self, ended: threading.Event) -> None:
        """Count the time in which there was no beat."""
        quiet, beats, before = 0.0, self._beats, time.monotonic()
        backstop = max(self.limit_seconds, 20 * self.poll_seconds)
        while True:
            faulthandler.dump_traceback_later(backstop, exit=True, file=2)
            if ended.wait(self.poll_seconds):
                break
            now = time.monotonic()
            quiet += min(now - before, 2 * self.poll_seconds)  # a process that was halted has not hung meanwhile
            before = now
            if self._beats != beats:
                quiet, beats = 0.0, self._beats
            if quiet >= self.limit_seconds:
                self._tell_the_others()
                self._end(f"nothing has moved for {quiet / 60:.3g} minutes, after {self._last_beat}")
                return
            if self._read_hang() != self._known_hang:
                self._end("another process has found that nothing moves")
                return
        faulthandler.cancel_dump_traceback_later()

    @property
    def stacks_file(self) -> Path:
        """Where this process writes its stacks."""
        return self.run.stacks(ranks.rank())

    def _read_hang(self) -> str | None:
        try:
            return self.run.hang.read_text(encoding="utf-8")
        except OSError:
            return None

    def _tell_the_others(self) -> None:
        if self._read_hang() == self._known_hang:
            text = f"rank {ranks.rank()}, process {os.getpid()}, {datetime.now().isoformat()}"
            self.run.hang.write_text(text, encoding="utf-8")

    def _end(self, why: str) -> None:
        """Write the stacks and leave; no logging here, whose lock a thread that hangs may hold."""
        faulthandler.cancel_dump_traceback_later()
        with open(self.stacks_file, "a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {why}\n")
            file.flush()
            faulthandler.dump_traceback(file=file, all_threads=True)
        line = f"error: {why}; the stacks of all processes are in {self.run.path}/stacks_rank*.txt\n"
        if ranks.is_rank_zero():
            os.write(2, line.encode())
            with open(self.run.log, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} ERROR {line}")
        time.sleep(3 * self.poll_seconds + (not ranks.is_rank_zero()))  # the others write theirs; rank 0 goes first
        self.leave(EXIT_CODE)
