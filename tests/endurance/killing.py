"""Starts the main job as a user does, kills it with -9 at chosen moments, and starts it again by the same command."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.programs import Program

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 240
TIMING_WORDS = ("seconds", "per_second", "mfu", "wait", "memory", "checkpoint_")
"""Columns of metrics.csv whose name holds one of these measure time or memory: no two runs agree on them."""


@dataclass
class Victim:
    """One command that is started again and again until it ends by itself."""

    words: list[str]
    place: Path
    run_dir: Path
    starts: int = 0
    notes: list[str] = field(default_factory=list)

    def start(self, *, fresh: bool = False) -> subprocess.Popen:
        """Start the command in a process group of its own, as a fresh Python or as a copy (tests/programs.py).

        What it says goes to console.log.
        """
        self.starts += 1
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PROSPERO_")}
        command = [sys.executable, str(ROOT / "train.py"), *self.words, f"run_dir={self.run_dir}", "resume=auto"]
        with open(self.place / f"console_{self.run_dir.name}.log", "ab") as console:
            return (subprocess.Popen if fresh else Program)(
                command, cwd=self.place, env=environment, stdout=console, stderr=console, start_new_session=True
            )

    def live_to_the_end(self) -> None:
        """Start it and wait until it ends; AssertionError with its last words when it does not end well."""
        code = self.start().wait(LIMIT_SECONDS)
        words = (self.place / f"console_{self.run_dir.name}.log").read_text(errors="replace")[-3000:]
        assert code == 0, f"exit code {code} after {self.starts} starts:\n{words}"

    def killed_when(self, moment: Callable[["Victim"], bool], *, whole_group: bool = True, fresh: bool = False) -> bool:
        """Start it and kill it once `moment` holds; False when it ended before.

        `whole_group` False kills the main process alone, as the kernel does when memory is short; its children must
        not outlive it for long.
        """
        process = self.start(fresh=fresh)
        children: list[psutil.Process] = []
        deadline = time.monotonic() + LIMIT_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if moment(self):
                children = psutil.Process(process.pid).children(recursive=True)
                if whole_group:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
                process.wait()
                _, alive = psutil.wait_procs(children, timeout=30)
                assert not alive, f"{len(alive)} process(es) outlived the killed one by 30 s"
                self.notes.append(f"killed at {self.rows()} rows")
                return True
            time.sleep(0.001)
        assert process.poll() is not None, "the run neither ended nor reached the moment to kill it"
        return False

    def rows(self) -> int:
        """Rows of metrics.csv by now."""
        try:
            return (self.run_dir / "metrics.csv").read_bytes().count(b"\n") - 1
        except FileNotFoundError:
            return -1


def after_rows(number: int) -> Callable[[Victim], bool]:
    """The moment when metrics.csv has `number` rows."""
    return lambda victim: victim.rows() >= number


def during_a_save(after: int = 0) -> Callable[[Victim], bool]:
    """The moment when a checkpoint is being written, not before `after` rows of metrics."""

    def writes(victim: Victim) -> bool:
        folder = victim.run_dir / "checkpoints"
        return any(_unfinished(folder)) and victim.rows() >= after

    return writes


def _unfinished(folder: Path) -> Iterator[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        names = []
    return (name for name in names if name.startswith(".step_"))


def after_seconds(seconds: float) -> Callable[[Victim], bool]:
    """The moment `seconds` after the process started."""
    began: list[float] = []

    def over(victim: Victim) -> bool:
        if not began:
            began.append(time.monotonic())
        return time.monotonic() - began[0] >= seconds

    return over


def repeatable_metrics(run_dir: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv, digit for digit, without the columns that measure time or memory."""
    with open(run_dir / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not any(word in k for word in TIMING_WORDS)} for row in rows]
