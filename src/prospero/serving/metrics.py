"""Counts of what the server does, in the text format of Prometheus (version 0.0.4)."""

import os
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the histograms, in seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms; used by the event loop alone."""

    def __init__(self) -> None:
        self.begun = time.time()
        self._counts: dict[str, dict[Labels, float]] = {}
        self._times: dict[str, dict[Labels, list[float]]] = {}
        self._help: dict[str, str] = {}

    def count(self, name: str, help: str, labels: Mapping[str, str], by: float = 1) -> None:
        """Add to a counter; its name ends in _total."""
        self._help[name] = help
        counts = self._counts.setdefault(name, {})
        key = tuple(labels.items())
        counts[key] = counts.get(key, 0) + by

    def observe(self, name: str, help: str, labels: Mapping[str, str], seconds: float) -> None:
        """Add a duration to a histogram; its name ends in _seconds."""
        self._help[name] = help
        rows = self._times.setdefault(name, {})
        row = rows.setdefault(tuple(labels.items()), [0.0] * (len(BUCKETS) + 2))
        for index, bound in enumerate(BUCKETS):
            row[index] += seconds <= bound
        row[-2] += 1
        row[-1] += seconds

    def text(self, gauges: Iterable[tuple[str, str, Mapping[str, str], float]] = ()) -> str:
        """Return everything, with `gauges` (name, help, labels, value), whose equal names stand beside each other."""
        lines: list[str] = []
        for name, counts in self._counts.items():
            lines += _head(name, self._help[name], "counter")
            lines += [_line(name, labels, value) for labels, value in counts.items()]
        for name, rows in self._times.items():
            lines += _head(name, self._help[name], "histogram")
            for labels, row in rows.items():
                lines += [_line(f"{name}_bucket", (*labels, ("le", f"{b:g}")), n) for b, n in zip(BUCKETS, row)]
                lines.append(_line(f"{name}_bucket", (*labels, ("le", "+Inf")), row[-2]))
                lines += [_line(f"{name}_count", labels, row[-2]), _line(f"{name}_sum", labels, row[-1])]
        before = ""
        for name, help, labels, value in [*gauges, *self._process()]:
            lines += [] if name == before else _head(name, help, "gauge")
            lines.append(_line(name, tuple(labels.items()), value))
            before = name
        return "\n".join(lines) + "\n"

    def _process(self) -> list[tuple[str, str, Mapping[str, str], float]]:
        return [
            ("process_start_time_seconds", "When the server began, in seconds since 1970.", {}, self.begun),
            ("process_resident_memory_bytes", "Memory of the process.", {}, resident_bytes()),
        ]


def resident_bytes() -> int:
    """Return the memory of this process; the most it ever had where the system does not say what it has now."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _head(name: str, help: str, kind: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def _line(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    shown = f"{value:.17g}" if value != int(value) else str(int(value))
    return f"{name}{{{inner}}} {shown}" if inner else f"{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
