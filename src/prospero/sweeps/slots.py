"""The places of a machine on which jobs run side by side: each has its processors, its GPUs and its port."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field

from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class LaunchSettings:
    """How jobs are started; the settings of hydra.launcher."""

    slots: int | None = None
    """Jobs that run at the same time; null is 1, or what the GPUs allow when gpus_per_job is given."""
    timeout_minutes: float | None = None
    """A job that runs longer is ended and marked FAILED."""
    gpus_per_job: int | None = None
    """GPUs that each job sees (CUDA_VISIBLE_DEVICES); 0 hides them, null shares them evenly among the slots."""
    threads_per_process: int | None = None
    """CPU threads of each process (OMP_NUM_THREADS); null divides the processors by slots times processes of a job."""
    grace_seconds: float = 60.0
    """Seconds that a job has to save and leave before it is killed."""
    retry_failed: bool = False
    """Run the FAILED jobs of the last sweep of the same command again."""

    def __post_init__(self) -> None:
        for name in ("slots", "threads_per_process"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"hydra.launcher.{name}={value} must be at least 1, or null")
        if self.gpus_per_job is not None and self.gpus_per_job < 0:
            raise ConfigError(
                f"hydra.launcher.gpus_per_job={self.gpus_per_job} must be 0 (no GPU), 1 or more, or null (share them)"
            )
        if self.timeout_minutes is not None and self.timeout_minutes <= 0:
            raise ConfigError(f"hydra.launcher.timeout_minutes={self.timeout_minutes} must be above 0, or null")
        if self.grace_seconds <= 0:
            raise ConfigError(f"hydra.launcher.grace_seconds={self.grace_seconds} must be above 0")


@dataclass(kw_only=True, slots=True)
class Slot:
    """One place: the GPUs that its jobs see (None: whatever is there)."""

    number: int
    gpus: list[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)


def make_slots(settings: LaunchSettings) -> list[Slot]:
    """Share the machine's GPUs among the slots; ConfigError when there are fewer than asked for."""
    per_job = settings.gpus_per_job
    if per_job == 0:
        return [Slot(number=i, gpus=[]) for i in range(settings.slots or 1)]
    if per_job is None and (settings.slots or 1) == 1:
        return [Slot(number=0)]
    gpus = visible_gpus()
    if per_job is not None:
        count = settings.slots or len(gpus) // per_job
        if not count or count * per_job > len(gpus):
            asked = f"hydra.launcher.slots={count} with " if count else ""
            raise ConfigError(
                f"{asked}hydra.launcher.gpus_per_job={per_job} needs {max(count, 1) * per_job} GPUs; "
                f"{len(gpus)} can be seen here; use fewer slots or GPUs, or gpus_per_job=0 for jobs on the CPU"
            )
        return [Slot(number=i, gpus=gpus[i * per_job : (i + 1) * per_job]) for i in range(count)]
    count = settings.slots or 1
    if not gpus:
        return [Slot(number=i) for i in range(count)]
    if count > len(gpus):  # several small jobs on one GPU
        return [Slot(number=i, gpus=[gpus[i % len(gpus)]]) for i in range(count)]
    share = len(gpus) // count
    return [Slot(number=i, gpus=gpus[i * share : (i + 1) * share]) for i in range(count)]


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them; torch stays out."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    return [str(index) for index in range(count)]


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads(settings: LaunchSettings, slots: int, devices: int) -> int | None:
    """Return the CPU threads of each process, so that jobs do not fight; None, for a single process, sets none."""
    if settings.threads_per_process is not None:
        return settings.threads_per_process
    if slots * devices == 1:
        return None
    return max(1, cores() // (slots * devices))


def free_port(taken: set[int]) -> int:
    """Return a TCP port that nobody uses and no other job of this sweep was given."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in taken:
            return port
