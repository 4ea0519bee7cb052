"""Runs jobs side by side, each in a process group of its own, and passes signals on to them.

One thread looks at all jobs five times a second; nothing is shared between threads. A job is told to end by SIGTERM or
SIGINT to its first process, which saves at the next step together with its ranks; what is left of its group when the
time is over is killed.
"""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import RawIOBase
from typing import Any

import psutil

from prospero.paths import disk_is_full
from prospero.runs.folder import RunFolder
from prospero.runs.result import Status, read_result, status_of_result
from prospero.sweeps.job import WORLD_VARIABLES, Job, JobResult, short, shown
from prospero.sweeps.room import has_room
from prospero.sweeps.slots import LaunchSettings, Slot, free_port, make_slots, threads

POLL_SECONDS = 0.2
LEFTOVER_SECONDS = 10.0
"""How long the other processes of a job may outlive its first one."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that end a sweep: interrupted, told to end, the terminal is gone, the time on the cluster is nearly over."""
MOST_TIMES = 5
"""How often a job waits for room; one that fails again and again needs more than there is."""
TIMED_OUT = 124
"""Exit code of a job that was ended because its time was over, as of timeout(1)."""


@dataclass(slots=True)
class Running:
    """A job's live process."""

    job: Job
    process: subprocess.Popen[bytes]
    console: RawIOBase
    port: int
    started: float
    told: int = 0
    """The signal it was sent, 0 for none."""
    kill_at: float = float("inf")
    over_time: bool = False


class Runner:
    """Starts the jobs that an iterator yields, as many at a time as there are slots."""

    def __init__(
        self,
        settings: LaunchSettings,
        *,
        group: str,
        on_start: Callable[[Job, int], None],
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self.group, self.on_start, self.idle = settings, group, on_start, idle
        self.slots = make_slots(settings)
        self.signal = 0
        """The signal that ended the sweep, 0 for none."""
        self._running: dict[int, Running] = {}
        self._again = 0
        self._held: list[Job] = []
        """Jobs that had no room on the disk, the first to be started next."""
        self._without_room: Counter[int] = Counter()

    def run(self, jobs: Iterator[Job], ended: Callable[[JobResult], None]) -> None:
        """Run all jobs; `ended` is called once for each, in the order of their ends.

        SIGINT, SIGTERM and their like are passed on to the jobs, which save and leave; no further job is started then.
        When `ended` raises, the running jobs are told to save and leave before the error goes on.
        """
        with self._catching_signals():
            try:
                self._loop(jobs, ended)
            finally:
                self._end_all()

    def _loop(self, jobs: Iterator[Job], ended: Callable[[JobResult], None]) -> None:
        exhausted = False
        while True:
            while not self.signal and (slot := self._free_slot()) is not None:
                job = self._held[0] if self._held else None if exhausted else next(jobs, None)
                if job is None:
                    exhausted = True
                    break
                if not self._starts(job, slot):
                    break
            if not self._running and (self.signal or not self._held):
                return
            time.sleep(POLL_SECONDS)
            self._pass_on()
            self.idle()
            for number, running in list(self._running.items()):
                result = self._look_at(running)
                if result is not None:
                    del self._running[number]
                    if self._had_no_room(result):
                        self._held.append(result.job)
                    else:
                        ended(result)

    def _free_slot(self) -> Slot | None:
        return next((slot for slot in self.slots if slot.number not in self._running), None)

    def _starts(self, job: Job, slot: Slot) -> bool:
        """Start a job where its disk has room for it, else hold it."""
        try:
            if not self._without_room[job.number] or has_room(job.folder):
                self._start(job, slot)
                self._held = [held for held in self._held if held is not job]
                return True
        except OSError as error:
            if not disk_is_full(error):
                raise
        if job not in self._held:
            self._held.append(job)
        if not self._without_room[job.number]:
            self._say_held(job)
        return False

    def _say_held(self, job: Job) -> None:
        self._without_room[job.number] += 1
        where = f"the disk of {short(job.folder.parent)} is full; free some space"
        print(f"[{job.number}] waits for room: {where}", flush=True)

    def _had_no_room(self, result: JobResult) -> bool:
        """Whether a job has failed for want of room on the disk, and is to be started again when there is some."""
        job = result.job
        if result.status is not Status.failed or result.exit_code == TIMED_OUT or self.signal:
            return False
        if self._without_room[job.number] >= MOST_TIMES or not (not has_room(job.folder) or _said_disk_is_full(job)):
            return False
        self._say_held(job)
        return True

    def _start(self, job: Job, slot: Slot) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        port = free_port({running.port for running in self._running.values()})
        console = open(RunFolder(job.folder).console, "ab", buffering=0)  # noqa: SIM115  (closed at the job's end)
        try:
            console.write(f"$ {shown(job.command())}\n".encode())
        except OSError:
            console.close()
            raise
        process = subprocess.Popen(
            job.command(),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=self._environment(job, slot, port),
            start_new_session=True,
        )
        self._running[slot.number] = Running(job, process, console, port, time.monotonic())
        self.on_start(job, process.pid)

    def _environment(self, job: Job, slot: Slot, port: int) -> dict[str, str]:
        environment = {key: value for key, value in os.environ.items() if key not in WORLD_VARIABLES}
        environment |= {"PROSPERO_SWEEP": self.group, "MASTER_PORT": str(port)}
        if slot.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
        count = threads(self.settings, len(self.slots), max(job.devices, len(slot.gpus or [])))
        asked = self.settings.threads_per_process is not None or "OMP_NUM_THREADS" not in os.environ
        if count is not None and asked:
            environment["OMP_NUM_THREADS"] = str(count)
        return environment | job.environment

    def _look_at(self, running: Running) -> JobResult | None:
        """Return the job's result when its process has ended; end it when its time is over."""
        now = time.monotonic()
        code = running.process.poll()
        limit = self.settings.timeout_minutes
        if code is None:
            if limit is not None and not running.told and now - running.started > limit * 60:
                running.over_time = True
                self._tell(running, signal.SIGTERM)
            if now > running.kill_at:
                _signal_group(running.process.pid, signal.SIGKILL)
            return None
        _end_group(running.process.pid, LEFTOVER_SECONDS)
        if running.over_time:
            with suppress(OSError):  # the disk is full
                running.console.write(f"ended after {limit} minutes\n".encode())
            code = TIMED_OUT
        running.console.close()
        metrics = read_result(running.job.folder) if code == 0 else {}
        status = status_of_result(metrics) if code == 0 else Status.failed
        if code != 0 and running.told and not running.over_time:
            status = Status.stopped
        return JobResult(job=running.job, status=status, exit_code=code, seconds=now - running.started, metrics=metrics)

    def _tell(self, running: Running, number: int) -> None:
        if running.process.poll() is None:
            running.process.send_signal(number)
            running.kill_at = min(running.kill_at, time.monotonic() + self.settings.grace_seconds)
        running.told = number

    def _pass_on(self) -> None:
        """Tell the jobs that the sweep was told to end; a second SIGINT goes to them as well."""
        if not self.signal:
            return
        again, self._again = self._again, 0
        for running in self._running.values():
            if not running.told or again:
                number = again or self.signal
                self._tell(running, number if number == signal.SIGINT else signal.SIGTERM)

    def _end_all(self) -> None:
        for running in self._running.values():
            self._tell(running, signal.SIGTERM)
        for running in self._running.values():
            try:
                running.process.wait(self.settings.grace_seconds)
            except subprocess.TimeoutExpired:
                _signal_group(running.process.pid, signal.SIGKILL)
                running.process.wait()
            _end_group(running.process.pid, LEFTOVER_SECONDS)
            running.console.close()
        self._running.clear()

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        def remember(number: int, frame: Any) -> None:
            if not self.signal:
                name = signal.Signals(number).name
                print(f"{name}: the jobs save and leave; the same command goes on with the sweep", flush=True)
                self.signal = number
            else:
                self._again = number

        caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # as under nohup
        before = {number: signal.signal(number, remember) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _said_disk_is_full(job: Job) -> bool:
    """Whether the last line of a job is that of `training/failures.py` or `data/cache.py` about a full disk."""
    text = RunFolder(job.folder).console.read_text(encoding="utf-8", errors="replace").rstrip()
    return bool(re.match(r"error: the disk that holds .* is full; free some space", text.rpartition("\n")[2]))


def last_words(job: Job) -> str:
    """Return the last lines that a job has said, and where all of them are."""
    console = RunFolder(job.folder).console
    text = console.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return "\n".join(f"    {line}" for line in text[-3:]) + f"\n    all of it: {short(console)}"


def end_orphan(pid: int, created: float, grace_seconds: float) -> bool:
    """End a job that has outlived its sweep; return whether there was one. `created` tells it from a later process."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - created) > 1.0 or process.status() == psutil.STATUS_ZOMBIE:
            return False
        process.terminate()
        process.wait(grace_seconds)
    except psutil.NoSuchProcess:
        return False
    except psutil.TimeoutExpired:
        _signal_group(pid, signal.SIGKILL)
    _end_group(pid, LEFTOVER_SECONDS)
    return True


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # all gone (macOS says the latter of a group of zombies)
        return


def _end_group(leader: int, seconds: float) -> None:
    """Wait for the other processes of an ended job's group; kill those that stay."""
    end = time.monotonic() + seconds
    while _alive_in_group(leader):
        if time.monotonic() > end:
            _signal_group(leader, signal.SIGKILL)
            return
        time.sleep(0.05)


def _alive_in_group(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):
        return False
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getpgid(process.info["pid"]) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                return True
        except (ProcessLookupError, PermissionError):
            continue
    return False
