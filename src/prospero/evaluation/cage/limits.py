"""What a program in the cage may use."""

import math
from dataclasses import dataclass

from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class CageConfig:
    """Bounds of one program; whichever it meets first ends it."""

    seconds: float = 10.0
    """Time by the clock."""
    cpu_seconds: int = 5
    """Processor time of all its threads, in whole seconds."""
    memory_mb: int = 1024
    """Address space, in MiB; what lies beyond raises MemoryError."""
    file_mb: int = 16
    """Size of one file, and of all files together where the kernel can bound it, in MiB."""
    open_files: int = 64
    """Files open at once."""
    threads: int = 32
    """Threads at once, where the kernel can count them; new processes are not allowed at all."""
    output_kb: int = 256
    """What it may print, in KiB; one that prints more is stopped."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ConfigError(f"seconds={self.seconds} is impossible; choose above 0")
        least = {"cpu_seconds": 1, "memory_mb": 64, "file_mb": 1, "open_files": 16, "threads": 1, "output_kb": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name}={getattr(self, name)} is impossible; choose at least {smallest}")
