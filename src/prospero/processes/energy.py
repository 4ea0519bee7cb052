"""Energy counters of the machine, in joules since they were opened: RAPL of processors, NVML of NVIDIA's GPUs.

Both are counters that the hardware keeps, not samples of power, so nothing between two readings is missed. Where there
is none, the reason is returned instead of a counter: nothing is ever estimated.

RAPL (Intel 2012; AMD since Zen) counts for whole sockets, so everything that runs on the machine is in it. Its zones
`package-<n>` hold cores and caches; `dram`, a zone of its own below them, is added; `psys` holds both and is left out.
Linux lets only root read it since CVE-2020-8694, unless an administrator allows more.
"""

import ctypes
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows RAPL."""
READ_EVERY_SECONDS = 10.0
"""Often enough: the fastest counter there is, 32 bits of 15 microjoules, takes a minute to come round at a kilowatt."""
_NVML = "libnvidia-ml.so.1"
_MILLI, _MICRO = 1e-3, 1e-6


class ProcessorEnergy:
    """The sum of the RAPL counters of a machine."""

    def __init__(self, zones: list[Path]) -> None:
        self.zones = zones
        self._ranges = [_number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_number(zone / "energy_uj") for zone in zones]
        self._microjoules = 0

    @classmethod
    def open(cls, root: Path = POWERCAP) -> "ProcessorEnergy | str":
        """Return the counters of this machine, or why there are none."""
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _counts(zone)]
        if not zones:
            return f"no counter of a processor's energy (RAPL) under {root}"
        try:
            return cls(zones)
        except PermissionError as error:
            return f"{error.filename} may not be read by this user (root may: chmod a+r)"
        except (OSError, ValueError) as error:
            return f"RAPL cannot be read: {error}"

    def joules(self) -> float:
        """Return the energy since it was opened; it must be called at least once in the time of one round."""
        for place, zone in enumerate(self.zones):
            now, before = _number(zone / "energy_uj"), self._last[place]
            self._microjoules += now - before if now >= before else self._ranges[place] - before + now
            self._last[place] = now
        return self._microjoules * _MICRO


class GPUEnergy:
    """The counter of one NVIDIA GPU (since Volta)."""

    def __init__(self, library: Any, handle: Any) -> None:
        self.library, self.handle = library, handle
        self._began = self._millijoules()

    @classmethod
    def open(cls, uuid: str, library: Any = None) -> "GPUEnergy | str":
        """Return the counter of the GPU `uuid`, as NVML calls it (`GPU-...`), or why there is none."""
        if library is None:
            try:
                library = ctypes.CDLL(_NVML)
            except OSError as error:
                return f"NVML cannot be loaded: {error}"
        handle = ctypes.c_void_p()
        for call, words in (
            (library.nvmlInit_v2, ()),
            (library.nvmlDeviceGetHandleByUUID, (uuid.encode(), ctypes.byref(handle))),
        ):
            if code := call(*words):
                return f"NVML refuses {uuid} (code {code})"
        try:
            return cls(library, handle)
        except OSError as error:
            return str(error)

    def joules(self) -> float:
        """Return the energy since it was opened; OSError when NVML does not say it any more."""
        return (self._millijoules() - self._began) * _MILLI

    def _millijoules(self) -> int:
        found = ctypes.c_ulonglong()
        if code := self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle, ctypes.byref(found)):
            raise OSError(f"the GPU keeps no counter of its energy (NVML code {code})")
        return found.value


def _counts(zone: Path) -> bool:
    try:
        name = (zone / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return name.startswith("package-") or name == "dram"


def _number(file: Path) -> int:
    return int(file.read_text(encoding="utf-8"))
