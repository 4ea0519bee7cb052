"""Does a run fit this machine, and how long will it take: findings like those of a run."""

from prospero.planning.machine import Machine
from prospero.planning.needs import USUAL_SHARE, Needs
from prospero.runs.doctor.finding import Finding, Severity

FULL = 0.9
"""Share of the memory that a run may take: the rest is for the system, for buffers and for fragments."""
SAVES = 3
"""Checkpoints that lie side by side at most: the newest, the best, and the one that is being written."""
LONG_DAYS = 30.0
BUSY = 1.5
SLOW_SAVE_SECONDS = 120.0
SHARED = 1 * 2**30
GB = 2**30


def fit_findings(
    machine: Machine, needs: Needs, *, on_gpu: bool, devices: int, sharded: bool, workers: int, tokens_per_second: float
) -> list[Finding]:
    """Return what stands in the way, the worst first."""
    parts = devices if sharded else 1
    asked = (needs.weight_bytes + needs.state_bytes) / parts + needs.activation_bytes
    room = machine.gpus[0].free_bytes if on_gpu and machine.gpus else machine.available_bytes / max(1, devices)
    found = [_memory(asked, room), _disk(machine, needs), _time(needs, tokens_per_second), _save(machine, needs)]
    found += [_busy(machine), _threads(machine, on_gpu), _shared(machine, workers), _nccl(machine, on_gpu, devices)]
    return sorted((finding for finding in found if finding is not None), key=lambda finding: -finding.severity.value)


def expected_tokens_per_second(machine: Machine, needs: Needs, *, on_gpu: bool, devices: int) -> float:
    """Return what is usual for a machine with products so fast, where nothing was timed."""
    peak = machine.gpus[0].flops * devices if on_gpu and machine.gpus else machine.cpu_flops
    return USUAL_SHARE * peak / needs.flops_per_token if needs.flops_per_token else 0.0


def _finding(rule: str, severity: Severity, what: str, number: float, unit: str, limit: float, advice: str) -> Finding:
    return Finding(
        rule=rule, severity=severity, what=what, number=number, unit=unit, limit=limit, advice=advice,
        source="measured on this machine",
    )  # fmt: skip


def _memory(asked: float, room: float) -> Finding | None:
    if asked <= FULL * room:
        return None
    advice = "a smaller micro_batch_size, model.activation_checkpointing=true, trainer=fsdp on more devices, or model="
    return _finding("memory", Severity.problem, "it does not fit the memory", asked / GB, "GB are needed by a process",
                    FULL * room / GB, advice)  # fmt: skip


def _disk(machine: Machine, needs: Needs) -> Finding | None:
    asked = SAVES * needs.checkpoint_bytes
    if asked <= machine.disk_free_bytes:
        return None
    return _finding("disk", Severity.problem, "its checkpoints do not fit the disk", asked / GB, "GB for three of them",
                    machine.disk_free_bytes / GB, "outputs_dir= on a larger disk")  # fmt: skip


def _time(needs: Needs, tokens_per_second: float) -> Finding | None:
    if needs.tokens is None or tokens_per_second <= 0:
        return None
    days = needs.tokens / tokens_per_second / 86400
    if days <= LONG_DAYS:
        return None
    return _finding("time", Severity.problem, "it would not end in a month", days, "days of training", LONG_DAYS,
                    "fewer steps (max_steps=), a smaller model=, or more devices")  # fmt: skip


def _save(machine: Machine, needs: Needs) -> Finding | None:
    if machine.write_bytes_per_second <= 0:
        return _finding("disk_speed", Severity.problem, "outputs_dir cannot be written", 0.0, "bytes a second", 1.0,
                        "outputs_dir= on a disk that can")  # fmt: skip
    seconds = needs.checkpoint_bytes / machine.write_bytes_per_second
    if seconds <= SLOW_SAVE_SECONDS:
        return None
    return _finding("disk_speed", Severity.warning, "the disk is slow for these checkpoints", seconds, "seconds a save",
                    SLOW_SAVE_SECONDS, "callbacks.checkpoints.asynchronous=true, or a faster disk")  # fmt: skip


def _busy(machine: Machine) -> Finding | None:
    if machine.load <= BUSY * machine.cores:
        return None
    return _finding("busy", Severity.warning, "others are using the cores", machine.load, "processes want a core",
                    BUSY * machine.cores, "end them, or expect that much less speed")  # fmt: skip


def _threads(machine: Machine, on_gpu: bool) -> Finding | None:
    if on_gpu or machine.threads >= machine.cores:
        return None
    return _finding("threads", Severity.note, "torch does not use all cores", float(machine.threads), "threads",
                    float(machine.cores), "unset OMP_NUM_THREADS, or set trainer.num_threads")  # fmt: skip


def _shared(machine: Machine, workers: int) -> Finding | None:
    if workers == 0 or machine.shared_bytes is None or machine.shared_bytes >= SHARED:
        return None
    return _finding("shared_memory", Severity.warning, "workers have little room to hand over batches",
                    machine.shared_bytes / GB, "GB free in /dev/shm", SHARED / GB,
                    "docker run --shm-size=8g, or data.num_workers=0")  # fmt: skip


def _nccl(machine: Machine, on_gpu: bool, devices: int) -> Finding | None:
    if not on_gpu or devices < 2 or machine.nccl is not None:
        return None
    return _finding("nccl", Severity.problem, "the GPUs cannot talk: torch has no NCCL", 0.0, "libraries", 1.0,
                    "install the CUDA build of torch for Linux")  # fmt: skip
