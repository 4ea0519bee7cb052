"""What this machine is: cores, memory, disk, GPUs, and how fast they are. Measuring takes a few seconds."""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.cuda import nccl

DISK_BYTES = 64 * 2**20
"""Written and read back to see the disk's speed."""
PRODUCT_SIZE, PRODUCT_REPEATS = 4096, 10
"""Square products by which a GPU is timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU."""

    name: str
    memory_bytes: int
    free_bytes: int
    flops: float
    """Operations a second of a large bfloat16 product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run finds here."""

    cores: int
    """Those that this process may use."""
    load: float
    """Processes that wanted a core over the last minute."""
    memory_bytes: int
    available_bytes: int
    """What can be had of the memory now; a container's limit counts."""
    shared_bytes: int | None
    """Free in /dev/shm, through which workers hand over batches; None where there is none."""
    disk_free_bytes: int
    write_bytes_per_second: float
    read_bytes_per_second: float
    cpu_flops: float
    """Operations a second of a large float32 product."""
    threads: int
    """Threads that torch uses."""
    gpus: list[Gpu] = field(default_factory=list)
    nccl: str | None = None
    """Version of the library by which GPUs talk; None without it."""


def look_at_machine(folder: Path, cpu_flops: float) -> Machine:
    """Measure this machine, and the disk that `folder` is or will be on; `cpu_flops` is measured by the caller."""
    import psutil

    memory = psutil.virtual_memory()
    limit = _container_limit()
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    write, read = disk_speed(place)
    disk = psutil.disk_usage(str(place))
    shared = Path("/dev/shm")
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        load=os.getloadavg()[0],
        memory_bytes=min(memory.total, limit or memory.total),
        available_bytes=min(memory.available, limit or memory.available),
        shared_bytes=psutil.disk_usage(str(shared)).free if shared.is_dir() else None,
        disk_free_bytes=disk.free,
        write_bytes_per_second=write,
        read_bytes_per_second=read,
        cpu_flops=cpu_flops,
        threads=torch.get_num_threads(),
        gpus=[_gpu(number) for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else [],
        nccl=_nccl(),
    )


def disk_speed(folder: Path, n_bytes: int = DISK_BYTES) -> tuple[float, float]:
    """Return bytes a second of writing (until the disk has them) and of reading; the file is removed.

    Reading tells the disk's own speed where the system lets go of what it has in memory, else the memory's. Where the
    folder cannot be written, both are 0.
    """
    path = folder / f".doctor-{os.getpid()}"
    block = os.urandom(2**20)
    try:
        with open(path, "wb", buffering=0) as file:
            start = time.perf_counter()
            for _ in range(max(1, n_bytes // len(block))):
                file.write(block)
            os.fsync(file.fileno())
            written = time.perf_counter() - start
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        with open(path, "rb", buffering=0) as file:
            while file.read(len(block)):
                pass
        read = time.perf_counter() - start
    except OSError:
        return 0.0, 0.0
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return n_bytes / written, n_bytes / read


def _container_limit() -> int | None:
    """Return the memory that the container allows, None without such a limit (cgroup version 2)."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _gpu(number: int) -> Gpu:
    properties = torch.cuda.get_device_properties(number)
    free, total = torch.cuda.mem_get_info(number)
    device = torch.device("cuda", number)
    left = torch.ones(PRODUCT_SIZE, PRODUCT_SIZE, dtype=torch.bfloat16, device=device)
    torch.mm(left, left)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(PRODUCT_REPEATS):
        torch.mm(left, left)
    torch.cuda.synchronize(device)
    seconds = (time.perf_counter() - start) / PRODUCT_REPEATS
    return Gpu(name=properties.name, memory_bytes=total, free_bytes=free, flops=2 * PRODUCT_SIZE**3 / seconds)


def _nccl() -> str | None:
    if not torch.cuda.is_available() or not torch.distributed.is_nccl_available():
        return None
    return ".".join(map(str, nccl.version()))


def machine_lines(machine: Machine) -> list[str]:
    """Return what the machine is, a line for each part."""
    gb = 2**30
    shared = "" if machine.shared_bytes is None else f", /dev/shm {machine.shared_bytes / gb:.1f} GB free"
    lines = [
        f"processor  {machine.cores} cores, {machine.threads} threads of torch, load {machine.load:.1f}; "
        f"{machine.cpu_flops / 1e9:,.0f} GFLOP/s in float32",
        f"memory     {machine.available_bytes / gb:.1f} of {machine.memory_bytes / gb:.1f} GB to be had{shared}",
        f"disk       {machine.disk_free_bytes / gb:.1f} GB free; "
        f"writes {machine.write_bytes_per_second / 1e6:,.0f} MB/s, "
        f"reads {machine.read_bytes_per_second / 1e6:,.0f} MB/s",
    ]
    if not machine.gpus:
        return [*lines, "GPU        none that torch can use"]
    for number, gpu in enumerate(machine.gpus):
        lines.append(
            f"GPU {number}      {gpu.name}, {gpu.free_bytes / gb:.1f} of {gpu.memory_bytes / gb:.1f} GB free; "
            f"{gpu.flops / 1e12:,.0f} TFLOP/s in bfloat16"
        )
    return [*lines, f"NCCL       {machine.nccl or 'none'}"]
