"""Step times of several training loops, interleaved: each lives in a process of its own and moves when it is told to.

A machine's speed drifts; two loops measured one after the other mostly show the drift. Here every loop warms up, then
waits at the end of each step for its next turn, so that neighbouring turns of all loops see the same machine. Processes
of their own keep their settings (product precision, threads) and their memory apart.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

READY, TURN = "ready", "turn"


class Pace:
    """The worker's side: call it at the end of every step. It reports the step's time and waits for the next turn."""

    def __init__(self, warmup_steps: int, report: Callable[[str], None] | None = None) -> None:
        self.warmup_steps = warmup_steps
        self.report = report or _report
        self.steps = 0
        self.start, self.cpu_start = time.perf_counter(), time.process_time()

    def __call__(self) -> None:
        _settle()
        seconds, cpu_seconds = time.perf_counter() - self.start, time.process_time() - self.cpu_start
        self.steps += 1
        if self.steps == self.warmup_steps:
            self._wait(READY)
        elif self.steps > self.warmup_steps:
            self._wait(f"{seconds:.9f} {cpu_seconds:.9f} {peak_bytes()}")
        self.start, self.cpu_start = time.perf_counter(), time.process_time()

    def _wait(self, word: str) -> None:
        self.report(word)
        if sys.stdin.readline().strip() != TURN:
            sys.stdout.flush()
            import os

            os._exit(0)  # the measurement is over; the loop is in the middle of a run that nobody needs


def _report(word: str) -> None:
    print(f"#{word}", file=sys.stderr, flush=True)


def _uses_cuda() -> bool:
    return "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()


def _settle() -> None:
    """Wait for what a GPU still has to compute: its time belongs to the step that asked for it."""
    if _uses_cuda():
        sys.modules["torch"].cuda.synchronize()


def peak_bytes() -> int:
    """Peak memory of this process: of its tensors on a GPU, where it uses one, else resident."""
    if _uses_cuda():
        return sys.modules["torch"].cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(slots=True)
class Loop:
    """The parent's side of one training loop."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    """Processor time of all threads: what stays comparable on a machine that others use too."""
    peak: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process and wait until it has warmed up."""
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self._hear(READY)

    def turn(self) -> None:
        """Let the loop take one step and note its time."""
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(TURN + "\n")
        self.process.stdin.flush()
        seconds, cpu_seconds, peak = self._hear("").split()
        self.seconds.append(float(seconds))
        self.cpu_seconds.append(float(cpu_seconds))
        self.peak = int(peak)

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(timeout=30)

    def _hear(self, word: str) -> str:
        assert self.process is not None and self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            if line.startswith("#") and line[1:].strip().startswith(word):
                return line[1:].strip()
            said.append(line)
        raise SystemExit(f"{self.name} ended before its time:\n{''.join(said[-15:])}")

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)

    def describe(self) -> str:
        """Return the step's milliseconds (min / median / max), its processor time and the peak memory."""
        return (
            f"{spread(self.seconds)} ms a step, {spread(self.cpu_seconds)} ms of processor time, "
            f"peak {self.peak / 2**20:.0f} MiB"
        )


def interleave(loops: list[Loop], rounds: int) -> None:
    """Give each loop one step in turn, `rounds` times over, the order turned round every time."""
    try:
        for loop in loops:
            loop.start()
        for number in range(rounds):
            for loop in loops if number % 2 == 0 else reversed(loops):
                loop.turn()
    finally:
        for loop in loops:
            loop.stop()


def spread(seconds: list[float]) -> str:
    """Return `min / median / max` in milliseconds."""
    found = (min(seconds), statistics.median(seconds), max(seconds))
    return " / ".join(f"{1e3 * value:.1f}" for value in found)


def ratio(slow: Loop, fast: Loop) -> float:
    """Median over the rounds of slow / fast, round by round: drift cancels within a round."""
    return statistics.median(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))


def cpu_ratio(slow: Loop, fast: Loop) -> float:
    """Return the same of the processor time."""
    return statistics.median(a / b for a, b in zip(slow.cpu_seconds, fast.cpu_seconds, strict=True))
