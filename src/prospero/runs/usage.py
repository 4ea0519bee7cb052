"""What a run has used: hours of machines, processors and GPUs, energy and money, of all its starts and processes.

Each process keeps a file of its own, with an entry for every time that it was started, so that a run that was killed
and continued says what all of it took. What could not be measured is null, with the reason.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from prospero.errors import DataError
from prospero.log import log
from prospero.paths import write_text
from prospero.runs.folder import RunFolder

_HOUR = 3600.0
_KWH = 3.6e6
"""Joules of a kilowatt-hour."""


@dataclass(kw_only=True, slots=True)
class Start:
    """One process of a run from one start to its end, or to the last time that it wrote."""

    began: str
    """When, in the clock of the machine."""
    host: str
    """The machine."""
    from_step: int = 0
    """The step after which it went on; 0 where it began."""
    first_of_host: bool = True
    """Whether it counts the machine: its hours, its price and the energy of its processors."""
    seconds: float = 0.0
    """How long, data preparation and evaluation included."""
    cpu_seconds: float = 0.0
    """Processor time of the process and of those it started and saw end (loaders)."""
    cpu_joules: float | None = None
    """Energy of the machine's processors and memory; null where it is not measured, or by another process."""
    cpu_note: str = ""
    """Why it is null."""
    gpu: bool = False
    """Whether it has a GPU."""
    gpu_joules: float | None = None
    """Energy of its GPU."""
    gpu_note: str = ""
    """Why it is null."""
    price_per_hour: float | None = None
    """What an hour of the machine costs."""


def read_starts(file: Path) -> list[Start]:
    """Return the starts of one process; [] where there is no file. DataError when it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}), so what the run has used until now is not known") from error
    names = {field.name for field in fields(Start)}
    try:
        return [Start(**{name: value for name, value in start.items() if name in names}) for start in found]
    except (TypeError, AttributeError) as error:
        raise DataError(f"{file} is damaged ({error}), so what the run has used until now is not known") from error


def write_starts(file: Path, starts: Sequence[Start]) -> None:
    """Write the starts of one process, whole or not at all."""
    write_text(file, json.dumps([asdict(start) for start in starts], indent=1) + "\n")


def all_starts(run: RunFolder) -> list[Start]:
    """Return the starts of all processes of a run; a damaged file is left out, which is said."""
    found = []
    for file in run.usages():
        try:
            found += read_starts(file)
        except DataError as error:
            log.warning("%s; it is left out", error)
    return found


def total(starts: Sequence[Start]) -> dict[str, Any]:
    """Return the sums over all starts of all processes, for result.json; null, with a note, for what is not known."""
    machines = [start for start in starts if start.first_of_host]
    with_gpu = [start for start in starts if start.gpu]
    hours = sum(start.seconds for start in machines) / _HOUR
    cpu_energy, cpu_note = _energy([(start.cpu_joules, start.cpu_note) for start in machines])
    gpu_energy, gpu_note = _energy([(start.gpu_joules, start.gpu_note) for start in with_gpu])
    prices = [start.price_per_hour for start in machines]
    known = [price for price in prices if price is not None]
    cost = sum(price * start.seconds / _HOUR for price, start in zip(known, machines))
    return {
        "starts": max((sum(1 for s in machines if s.host == host) for host in {s.host for s in machines}), default=0),
        "machine_hours": round(hours, 6),
        "cpu_hours": round(sum(start.cpu_seconds for start in starts) / _HOUR, 6),
        "gpu_hours": round(sum(start.seconds for start in with_gpu) / _HOUR, 6),
        "cpu_energy_kwh": cpu_energy,
        "cpu_energy_note": cpu_note,
        "gpu_energy_kwh": gpu_energy,
        "gpu_energy_note": gpu_note if with_gpu else "no GPU was used",
        "cost": round(cost, 6) if machines and len(known) == len(prices) else None,
        "cost_note": "" if machines and len(known) == len(prices) else "price_per_hour= was not given",
    }


def in_words(used: dict[str, Any]) -> list[str]:
    """Return lines for the report and the log."""
    lines = [
        f"{used['machine_hours']:.4g} hours of machines in {used['starts']} start(s), "
        f"{used['cpu_hours']:.4g} of processors, {used['gpu_hours']:.4g} of GPUs"
    ]
    for what, name in (("energy of processors and memory", "cpu_energy"), ("energy of GPUs", "gpu_energy")):
        lines.append(f"{what}: {_known(used[f'{name}_kwh'], ' kWh', used[f'{name}_note'])}")
    return [*lines, f"cost: {_known(used['cost'], '', used['cost_note'])}"]


def _known(value: float | None, unit: str, note: str) -> str:
    return f"not known, {note}" if value is None else f"{value:.4g}{unit}"


def _energy(parts: Sequence[tuple[float | None, str]]) -> tuple[float | None, str]:
    """Return the kilowatt-hours of all parts and no note, or None and why: a sum with a part missing is no sum."""
    measured = [joules for joules, _ in parts if joules is not None]
    if parts and len(measured) == len(parts):
        return round(sum(measured) / _KWH, 9), ""
    why = "; ".join(dict.fromkeys(note for joules, note in parts if joules is None and note))
    some = f"; {sum(measured) / _KWH:.4g} kWh in {len(measured)} of {len(parts)} starts" if measured else ""
    return None, f"{why}{some}"
