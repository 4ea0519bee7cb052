"""The table at the end of a sweep: the best first, and which difference is real."""

import csv
import math
import statistics
from pathlib import Path

from prospero.paths import atomic_path
from prospero.runs.result import Status
from prospero.sweeps.job import JobResult
from prospero.sweeps.student import quantile

NOT_METRICS = ("objective", "objective_name", "objective_direction", "status", "stop_reason")
OF_A_TOKEN = ("val/loss", "val/perplexity")
"""Numbers that mean something else with every tokenizer."""
OF_THE_TEXT = ("data", "cleaning", "dedup", "split", "tokenizer")
"""Groups that change what a token is, or the text that is validated on."""
ORDER = {Status.done: 0, Status.pruned: 1, Status.stopped: 2, Status.running: 2, Status.waiting: 2, Status.failed: 3}


def maximized(results: list[JobResult]) -> bool:
    """Whether the larger objective is the better one, as the runs say; those of before they said it minimise."""
    return any(result.metrics.get("objective_direction") == "maximize" for result in results)


def best_first(results: list[JobResult]) -> list[JobResult]:
    """Sort by the objective, the best first; NaN after numbers; then pruned, stopped and failed jobs."""
    maximize = maximized(results)

    def place(result: JobResult) -> tuple[int, bool, bool, float]:
        value = result.objective
        if value is None or math.isnan(value):
            return ORDER[result.status], value is None, True, 0.0
        return ORDER[result.status], False, False, -value if maximize else value

    return sorted(results, key=place)


def write_table(path: Path, results: list[JobResult]) -> None:
    """Write all results, best first, to a CSV file, whole or not at all."""
    settings = _columns(results)
    metrics: dict[str, None] = {}
    for result in results:
        metrics.update(dict.fromkeys(key for key in result.metrics if key not in NOT_METRICS))
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "job", "status", "objective", *settings, *metrics, "seconds", "folder"])
        for rank, result in enumerate(best_first(results), start=1):
            chosen = result.job.settings()
            row = [rank, result.job.number, result.status.value, result.objective]
            row += [chosen.get(key, "") for key in settings] + [result.metrics.get(key, "") for key in metrics]
            writer.writerow([*row, round(result.seconds, 1), result.job.folder])


def screen_table(results: list[JobResult]) -> str:
    """Return the table for the screen: the jobs, best first, and, where seeds repeat a setting, the settings' means.

    A last line says when the jobs' numbers cannot be compared.
    """
    settings = [key for key in _columns(results) if len({r.job.settings().get(key) for r in results}) > 1]
    name = next((str(r.metrics["objective_name"]) for r in results if "objective_name" in r.metrics), "objective")
    rows = [["rank", "job", *settings, name, "seconds"]]
    for rank, result in enumerate(best_first(results), start=1):
        chosen = [result.job.settings().get(key, "") for key in settings]
        rows.append([str(rank), str(result.job.number), *chosen, _value(result), f"{result.seconds:.0f}"])
    text = "\n" + _aligned(rows)
    means = _means_over_seeds(results, [key for key in settings if key != "seed"], name)
    note = _note_on_tokens(name, settings)
    return text + ("\n\n" + means if means else "") + ("\n\n" + note if note else "")


def _value(result: JobResult) -> str:
    if result.objective is None:
        return result.status.value
    return f"{result.objective:.4f}" + ("" if result.status is Status.done else f" {result.status.value}")


def _columns(results: list[JobResult]) -> list[str]:
    keys: dict[str, None] = {}
    for result in results:
        keys.update(dict.fromkeys(result.job.settings()))
    return list(keys)


def _means_over_seeds(results: list[JobResult], settings: list[str], name: str) -> str:
    """The mean of each setting over its seeds with Student's 95 % interval: which difference is real."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for result in results:
        chosen = result.job.settings()
        if result.status is Status.done and result.objective is not None and "seed" in chosen:
            key = tuple(chosen.get(setting, "") for setting in settings)
            groups.setdefault(key, []).append(result.objective)
    if not any(len(values) > 1 for values in groups.values()):
        return ""
    rows = [[*settings, f"mean {name}", "± 95 %", "seeds"]]
    for key, values in sorted(groups.items(), key=lambda item: statistics.fmean(item[1]), reverse=maximized(results)):
        half = "-"
        if len(values) > 1:
            half = f"{quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)):.4f}"
        rows.append([*key, f"{statistics.fmean(values):.4f}", half, str(len(values))])
    return "over seeds:\n" + _aligned(rows)


def _note_on_tokens(name: str, varied: list[str]) -> str:
    """One line when jobs are compared by nats per token that do not share their tokens."""
    found = [key for key in varied if key.partition(".")[0] in OF_THE_TEXT and not key.endswith(".num_workers")]
    if name not in OF_A_TOKEN or not found:
        return ""
    return (
        f"note: {name} is made of nats per token, which cannot be compared between different tokenizers or data "
        f"({', '.join(found)}); give monitor=val/bits_per_byte"
    )


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
