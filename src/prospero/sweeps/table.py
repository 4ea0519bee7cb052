"""The table at the end of a sweep: the best first, and which difference is real."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from prospero.paths import atomic_path
from prospero.runs.comparison.output import aligned, standing_cells, verdict_lines
from prospero.runs.comparison.runs import LIMITS, OF_A_TOKEN, OF_THE_ORDER, OF_THE_TEXT, by_budget
from prospero.runs.comparison.verdicts import Measurements, Verdict, best_first, judge
from prospero.runs.result import Status
from prospero.sweeps.job import JobResult

NOT_METRICS = (
    "objective",
    "objective_name",
    "objective_direction",
    "status",
    "stop_reason",
    "higher_is_better",
    "usage",
)
ORDER = {Status.done: 0, Status.pruned: 1, Status.stopped: 2, Status.running: 2, Status.waiting: 2, Status.failed: 3}


def maximized(results: list[JobResult]) -> bool:
    """Whether the larger objective is the better one, as the runs say; those of before they said it minimise."""
    return any(result.metrics.get("objective_direction") == "maximize" for result in results)


def jobs_best_first(results: list[JobResult]) -> list[JobResult]:
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
        for rank, result in enumerate(jobs_best_first(results), start=1):
            chosen = result.job.settings()
            row = [rank, result.job.number, result.status.value, result.objective]
            row += [chosen.get(key, "") for key in settings] + [result.metrics.get(key, "") for key in metrics]
            writer.writerow([*row, round(result.seconds, 1), result.job.folder])


def screen_table(results: list[JobResult]) -> str:
    """Return the table for the screen: the jobs, best first, and, where seeds repeat a setting, the settings' means.

    Below the means stand the verdicts, the best against the others. A last line says when the jobs' numbers cannot be
    compared.
    """
    settings = [key for key in _columns(results) if len({r.job.settings().get(key) for r in results}) > 1]
    name = _judged_by(results)
    rows = [["rank", "job", *settings, name, "seconds"]]
    for rank, result in enumerate(jobs_best_first(results), start=1):
        chosen = [result.job.settings().get(key, "") for key in settings]
        rows.append([str(rank), str(result.job.number), *chosen, _value(result), f"{result.seconds:.0f}"])
    text = "\n" + aligned(rows)
    means = _means_text(over_seeds(results), name)
    note = _note_on_tokens(name, settings)
    return text + ("\n\n" + means if means else "") + ("\n\n" + note if note else "")


def _judged_by(results: list[JobResult]) -> str:
    return next((str(r.metrics["objective_name"]) for r in results if "objective_name" in r.metrics), "objective")


def _value(result: JobResult) -> str:
    if result.objective is None:
        return result.status.value
    return f"{result.objective:.4f}" + ("" if result.status is Status.done else f" {result.status.value}")


def _columns(results: list[JobResult]) -> list[str]:
    keys: dict[str, None] = {}
    for result in results:
        keys.update(dict.fromkeys(result.job.settings()))
    return list(keys)


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """The settings of a sweep, each over its seeds, by the number that its jobs are judged by."""

    settings: list[str]
    """Those in which they differ, without the seed."""
    chosen: list[tuple[str, ...]]
    """The values of these settings, the best first."""
    standings: list[Measurements]
    verdicts: list[Verdict]
    """The best against each of the others, of each budget where there are several."""
    budgets: int
    """How many budgets (max_steps, max_tokens, ...) are judged, each for itself."""

    def verdict_on(self, name: str) -> Verdict | None:
        """Return the verdict of the best against `name`; None for the best itself."""
        return next((verdict for verdict in self.verdicts if name == verdict.other), None)


def over_seeds(results: list[JobResult]) -> OverSeeds | None:
    """Return how the settings stand over their seeds, of the jobs that are done; None where no seed repeats one."""
    columns = [key for key in _columns(results) if key != "seed"]
    settings = [key for key in columns if len({r.job.settings().get(key) for r in results}) > 1]
    groups: dict[tuple[str, ...], dict[str, float]] = {}
    for result in results:
        chosen = result.job.settings()
        if result.status is Status.done and result.objective is not None and "seed" in chosen:
            key = tuple(chosen.get(setting, "") for setting in settings)
            groups.setdefault(key, {})[chosen["seed"]] = result.objective
    if not any(len(values) > 1 for values in groups.values()):
        return None
    found = [
        Measurements(name=_called(settings, key), values=list(values.values()), seeds=list(values))
        for key, values in groups.items()
    ]
    keys, higher = list(groups), maximized(results)

    def same_order(a: int, b: int) -> bool:
        """Whether two settings have read the same data in the same order, where their seeds agree."""
        differing = [name for name, one, other in zip(settings, keys[a], keys[b]) if one != other]
        return not any(name.partition(".")[0] in OF_THE_ORDER for name in differing)

    order = best_first(found, higher)
    budgets = by_budget(order, lambda place: tuple(v for n, v in zip(settings, keys[place]) if n in LIMITS))
    verdicts = []
    for places in budgets.values():
        verdicts += judge(
            [found[place] for place in places],
            higher_is_better=higher,
            same_order=lambda a, b, places=places: same_order(places[a], places[b]),
        )
    ordered = [found[place] for place in order]
    return OverSeeds(settings, [keys[place] for place in order], ordered, verdicts, len(budgets))


def _called(settings: list[str], values: tuple[str, ...]) -> str:
    if len(settings) == 1:
        return values[0]
    return " ".join(f"{name}={value}" for name, value in zip(settings, values) if value)


def _means_text(found: OverSeeds | None, name: str) -> str:
    """The mean of each setting over its seeds with Student's 95 % interval, and which difference is real."""
    if found is None:
        return ""
    rows = [[*found.settings, f"mean {name}", "± 95 %", "seeds"]]
    rows += [[*key, *cells] for key, cells in zip(found.chosen, standing_cells(found.standings))]
    return "\n".join(["over seeds:", aligned(rows), *verdict_lines(found.verdicts, found.budgets)])


def write_means(path: Path, results: list[JobResult]) -> bool:
    """Write the settings' means over their seeds, best first, to a CSV file; False, and no file, without any."""
    found = over_seeds(results)
    if found is None:
        return False
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        numbers = ["mean", "low", "high", "seeds", "test", "better_by", "better_low", "better_high", "p", "verdict"]
        writer.writerow(["rank", *found.settings, "metric", *numbers])
        for rank, (key, one) in enumerate(zip(found.chosen, found.standings), start=1):
            row = [rank, *key, _judged_by(results), one.mean, *map(_known, one.interval), len(one.values)]
            verdict = found.verdict_on(one.name)
            if verdict is not None:
                tested = [_known(number) for number in (verdict.value, verdict.low, verdict.high, verdict.p)]
                row += [verdict.test, *tested, verdict.text]
            writer.writerow(row + [""] * (len(found.settings) + 12 - len(row)))
    return True


def _known(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def _note_on_tokens(name: str, varied: list[str]) -> str:
    """One line when jobs are compared by nats per token that do not share their tokens."""
    found = [key for key in varied if key.partition(".")[0] in OF_THE_TEXT and not key.endswith(".num_workers")]
    if name.partition("/")[2].partition("/")[0] not in OF_A_TOKEN or not found:
        return ""
    return (
        f"note: {name} is made of nats per token, which cannot be compared between different tokenizers or data "
        f"({', '.join(found)}); give monitor=val/bits_per_byte"
    )
