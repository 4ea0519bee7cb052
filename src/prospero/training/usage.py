"""Measures what this process of a run uses while it runs, and keeps it in a file of its own; see `runs.usage`."""

import os
import socket
import threading
import time
from datetime import datetime
from pathlib import Path

from prospero.errors import DataError
from prospero.log import log
from prospero.paths import put_aside
from prospero.processes import ranks
from prospero.processes.energy import READ_EVERY_SECONDS, GPUEnergy, ProcessorEnergy
from prospero.runs.usage import Start, read_starts, write_starts
from prospero.training import devices


class UsageMeter:
    """Counts from when it is made. `begin` starts a thread that reads the counters and writes them every few seconds.

    What is killed loses the seconds since it wrote last. A file that cannot be written never ends the run.
    """

    def __init__(
        self,
        *,
        processor: ProcessorEnergy | str,
        gpu: GPUEnergy | str | None = None,
        first_of_host: bool = True,
        price_per_hour: float | None = None,
    ) -> None:
        self.processor, self.gpu = processor, gpu
        self.start = Start(
            began=f"{datetime.now():%Y-%m-%d %H:%M:%S}",
            host=socket.gethostname(),
            first_of_host=first_of_host,
            cpu_note=processor if isinstance(processor, str) else "",
            gpu=gpu is not None,
            gpu_note=gpu if isinstance(gpu, str) else "",
            price_per_hour=price_per_hour,
        )
        self._clock, self._cpu_before = time.perf_counter(), _cpu_seconds()
        self._file: Path | None = None
        self._earlier: list[Start] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._failing = False

    def begin(self, file: Path, from_step: int, *, every_seconds: float = READ_EVERY_SECONDS) -> None:
        """Take up what earlier starts of this process have left in `file`, and write this one beside it from now on.

        A file that is damaged is put aside, which is said.
        """
        try:
            self._earlier = read_starts(file)
        except DataError as error:
            log.warning("%s; it is put aside as %s", error, put_aside(file).name)
        self.start.from_step = from_step
        self._file = file
        self.update()
        threading.Thread(target=self._keep_on, args=(every_seconds,), daemon=True, name="usage").start()

    def update(self) -> None:
        """Read the clocks and counters, and write what has been used until now, where the run has begun."""
        with self._lock:
            if self._end.is_set():
                return
            self.start.seconds = time.perf_counter() - self._clock
            self.start.cpu_seconds = _cpu_seconds() - self._cpu_before
            self._read_energy()
            if self._file is not None:
                self._write(self._file)

    def close(self) -> None:
        """Write the last numbers and stop; nothing is written after that."""
        self.update()
        self._end.set()

    def _keep_on(self, every_seconds: float) -> None:
        while not self._end.wait(every_seconds):
            self.update()

    def _read_energy(self) -> None:
        """Read the counters; one that fails on the way gives no number, and says why."""
        try:
            if isinstance(self.processor, ProcessorEnergy):
                self.start.cpu_joules = self.processor.joules()
        except (OSError, ValueError) as error:
            self.processor = self.start.cpu_note = f"RAPL could not be read any more: {error}"
            self.start.cpu_joules = None
        try:
            if isinstance(self.gpu, GPUEnergy):
                self.start.gpu_joules = self.gpu.joules()
        except OSError as error:
            self.gpu = self.start.gpu_note = str(error)
            self.start.gpu_joules = None

    def _write(self, file: Path) -> None:
        try:
            write_starts(file, [*self._earlier, self.start])
        except OSError as error:
            if not self._failing:
                log.warning("%s cannot be written (%s); it is tried again", file.name, error.strerror or error)
            self._failing = True
            return
        self._failing = False


def meter_of(accelerator: str, price_per_hour: float | None) -> UsageMeter:
    """Return the meter of this process: of its GPU, and, in the first process of a machine, of the machine."""
    first = ranks.local_rank() == 0
    processor = ProcessorEnergy.open() if first else "counted by the first process of the machine"
    gpu = None
    if accelerator == "gpu":
        gpu = GPUEnergy.open(devices.gpu_uuid(ranks.local_rank()))
    elif accelerator == "mps":
        gpu = "Apple's GPUs have no counter that a program may read"
    return UsageMeter(processor=processor, gpu=gpu, first_of_host=first, price_per_hour=price_per_hour)


def _cpu_seconds() -> float:
    """Processor time of this process and of those it started and saw end."""
    return sum(os.times()[:4])
