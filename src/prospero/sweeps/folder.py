"""The folder of a sweep: what is to be run, how each job stands, and how the same command finds it again.

`sweep.json` is written whole after every change. Its identity is a hash of the command's overrides and of the composed
settings, so that a killed sweep is continued by the same command, and never by one that means something else. A lock
held by the living process (and released by the system when it dies) keeps a second one out.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from prospero.errors import ConfigError
from prospero.paths import write_text
from prospero.processes.locks import locked, try_lock
from prospero.runs.result import Status, read_result
from prospero.sweeps.job import Job, JobResult, short
from prospero.sweeps.room import Pending
from prospero.sweeps.runner import end_orphan

SWEEP_FILE = "sweep.json"
LOCK_FILE = ".sweep.lock"
FORMAT = 1

RUNNING, FINISHED = "running", "finished"


@dataclass(kw_only=True, slots=True)
class Identity:
    """What makes two commands the same sweep."""

    overrides: list[str]
    """The words of the command line, secrets hidden."""
    sweeper: str
    settings: Any
    """Everything else that the jobs depend on, as plain values: the composed settings, the sweeper's own."""

    def hash(self) -> str:
        """Return 16 hexadecimal digits, the same for the same sweep; the order of the overrides does not matter."""
        text = json.dumps([sorted(self.overrides), self.sweeper, self.settings], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(slots=True)
class SweepFolder:
    """An open, locked sweep."""

    path: Path
    identity: Identity
    lock: int
    """The handle of the locked file."""
    record: dict[str, Any] = field(default_factory=dict)
    continued: bool = False
    pending: Pending = field(default_factory=Pending)
    """What waits for room on a full disk."""

    @classmethod
    def open(cls, default: Path, explicit: bool, identity: Identity, *, retry_failed: bool = False) -> "SweepFolder":
        """Continue the unfinished sweep of this identity beside `default`, or begin a new one there.

        With `explicit` the user has named the folder. ConfigError when the sweep runs already, or when the named folder
        holds another sweep or a finished one.
        """
        root = default if explicit else default.parent
        root.mkdir(parents=True, exist_ok=True)
        said = f"another sweep begins in {short(root)}; waiting for it"
        with locked(root / ".sweeps.lock", lambda: print(said, flush=True)):
            if explicit:
                _check_named(default, identity, retry_failed)
                found = default if (default / SWEEP_FILE).is_file() else None
            else:
                found = _find_unfinished(root, identity, retry_failed)
            path = found or (default if explicit else _unused(default))
            path.mkdir(parents=True, exist_ok=True)
            lock = try_lock(path / LOCK_FILE)
            if lock is None:
                raise ConfigError(
                    f"this sweep runs already, in {short(path)}{_owner(path)}; wait for it, or start another in a "
                    "folder of its own: hydra.sweep.dir=<folder>"
                )
            self = cls(path, identity, lock, read_record(path), continued=found is not None)
            self.record |= {
                "format": FORMAT,
                "identity": identity.hash(),
                "sweeper": identity.sweeper,
                "overrides": identity.overrides,
                "state": RUNNING,
                "process": os.getpid(),
            }
            self.record.setdefault("created", time.strftime("%Y-%m-%dT%H:%M:%S%z"))
            self.record.setdefault("jobs", [])
            self._write_record()  # a disk that is full already is an error: nothing has begun
        return self

    def close(self, *, finished: bool) -> None:
        """Write how the sweep ended and let go of the lock."""
        self.record["state"] = FINISHED if finished else RUNNING
        self._write()
        try:
            self.pending.finish()
        finally:
            os.close(self.lock)

    def place(self, overrides: list[list[str]]) -> list[Job]:
        """Return the jobs with their numbers and folders: those of before keep theirs, equal ones are run once."""
        known = {tuple(entry["overrides"]): entry["number"] for entry in self.record["jobs"]}
        number = max(known.values(), default=-1)
        jobs: dict[int, Job] = {}
        for words in overrides:
            job = Job(number=-1, overrides=words, folder=self.path)
            label = tuple(job.label())
            if label not in known:
                number += 1
                known[label] = number
            job.number, job.folder = known[label], self.path / str(known[label])
            jobs[job.number] = job
        return list(jobs.values())

    def result_of(self, job: Job, *, retry_failed: bool = False) -> JobResult | None:
        """Return how `job` ended in an earlier process of this sweep, or None when it is still to be run."""
        entry = self._entry(job.number)
        if entry is None:
            return None
        status, metrics = Status(entry["status"]), read_result(job.folder)
        if not status.ended and metrics.get("status") in (Status.done.value, Status.pruned.value):
            status = Status(metrics["status"])  # it came to its end while nobody was there to write it down
        if status in (Status.done, Status.pruned) and not metrics:
            return None  # its folder was emptied
        if not status.ended or (status is Status.failed and retry_failed):
            return None
        return JobResult(
            job=job,
            status=status,
            exit_code=entry["exit_code"] or 0,
            seconds=entry["seconds"],
            metrics={} if status is Status.failed else metrics,
        )

    def end_orphans(self, grace_seconds: float) -> None:
        """End the jobs that a killed sweep has left running; they save, and go on under this sweep."""
        for entry in self.record["jobs"]:
            if entry["status"] != Status.running.value or entry.get("process") is None:
                continue
            if end_orphan(entry["process"], entry["process_created"], grace_seconds):
                print(f"[{entry['number']}] still ran from before; it has saved and goes on here", flush=True)
            entry["status"] = Status.stopped.value
        self._write()

    def started(self, job: Job, pid: int) -> None:
        """Write that a job runs, and in which process."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            created = 0.0
        self._update(job, status=Status.running.value, process=pid, process_created=created)

    def ended(self, result: JobResult) -> None:
        """Write how a job ended; its seconds become those of all its processes together."""
        before = (self._entry(result.job.number) or {}).get("seconds", 0.0)
        result.seconds = round(before + result.seconds, 3)
        ended = {"status": result.status.value, "exit_code": result.exit_code, "seconds": result.seconds}
        self._update(result.job, **ended, process=None)

    def _update(self, job: Job, **values: Any) -> None:
        entry = self._entry(job.number)
        if entry is None:
            entry = {"number": job.number, "overrides": job.label(), "exit_code": None, "seconds": 0.0}
            self.record["jobs"].append(entry)
        entry.update(values)
        self._write()

    def _entry(self, number: int) -> dict[str, Any] | None:
        return next((entry for entry in self.record["jobs"] if entry["number"] == number), None)

    def _write(self) -> None:
        self.pending.write(self.path / SWEEP_FILE, self._write_record)

    def _write_record(self) -> None:
        write_text(self.path / SWEEP_FILE, json.dumps(self.record, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Return a folder's sweep.json, or an empty dict where there is none that can be read."""
    try:
        record = json.loads((path / SWEEP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def _unfinished(record: dict[str, Any], retry_failed: bool) -> bool:
    failed = any(entry["status"] == Status.failed.value for entry in record.get("jobs", []))
    return record.get("state") == RUNNING or (retry_failed and failed)


def _find_unfinished(root: Path, identity: Identity, retry_failed: bool) -> Path | None:
    wanted = identity.hash()
    for path in sorted(root.glob(f"*/{SWEEP_FILE}"), key=lambda file: file.stat().st_mtime, reverse=True):
        record = read_record(path.parent)
        if record.get("identity") == wanted and _unfinished(record, retry_failed):
            return path.parent
    return None


def _check_named(path: Path, identity: Identity, retry_failed: bool) -> None:
    record = read_record(path)
    if not record:
        return
    if record["identity"] != identity.hash():
        same = sorted(record["overrides"]) == sorted(identity.overrides)
        why = "its settings differ from today's" if same else f"it was: {' '.join(record['overrides'])}"
        raise ConfigError(f"hydra.sweep.dir={short(path)} holds another sweep ({why}); choose another folder")
    if not _unfinished(record, retry_failed):
        raise ConfigError(
            f"hydra.sweep.dir={short(path)} holds this sweep, finished; choose another folder to run it again"
        )


def _unused(path: Path) -> Path:
    candidates = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in range(1, 1000))
    return next(candidate for candidate in candidates if not (candidate / SWEEP_FILE).exists())


def _owner(path: Path) -> str:
    process = read_record(path).get("process")
    return f" (process {process})" if process else ""
