"""A sweep: jobs in processes of their own, and the table at the end that puts the best first."""

import csv
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from prospero.paths import atomic_path

RESULT_FILE = "result.json"
"""Written by a finished run: {"objective": ..., "objective_name": ..., metrics...}."""

WORLD_VARIABLES = (
    "LOCAL_RANK",
    "RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PROSPERO_RUN_DIR",
    "WANDB_SERVICE",
)
STUDENT_95 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
"""Two-sided 95 % quantiles of Student's t by degrees of freedom (1.96 beyond the table)."""


@dataclass(kw_only=True, slots=True)
class Job:
    """One setting of the sweep and the folder of its run."""

    number: int
    overrides: list[str]
    folder: Path


@dataclass(kw_only=True, slots=True)
class JobResult:
    """How a job ended; `metrics` is the run's result file, empty for a failed job."""

    job: Job
    exit_code: int
    seconds: float
    metrics: dict[str, float | str | None]

    @property
    def objective(self) -> float | None:
        """The number to minimise, or None for a failed job."""
        value = self.metrics.get("objective")
        return float(value) if isinstance(value, int | float) else None

    @property
    def status(self) -> str:
        """DONE or FAILED."""
        return "DONE" if self.exit_code == 0 else "FAILED"


def run_jobs(jobs: list[Job], folder: Path, *, slots: int, timeout_minutes: float | None) -> list[JobResult]:
    """Run every job in its own process, write `sweep.csv` as results come in, print the table; keep the jobs' order."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"sweep of {len(jobs)} jobs, {slots} at a time, in {_short(folder)}", flush=True)
    results: list[JobResult] = []

    def one(job: Job) -> JobResult:
        result = _run_job(job, timeout_minutes)
        results.append(result)
        write_table(folder / "sweep.csv", results)
        name = result.metrics.get("objective_name", "")
        ended = f"{name} {result.objective:.4f}" if result.objective is not None else f"exit code {result.exit_code}"
        print(f"[{job.number}] {' '.join(job.overrides)}: {result.status}, {ended}, {result.seconds:.0f} s", flush=True)
        if result.exit_code:
            print(_last_words(job), flush=True)
        return result

    with ThreadPoolExecutor(max_workers=max(1, slots)) as pool:
        ordered = list(pool.map(one, jobs))
    print(screen_table(ordered), flush=True)
    print(f"table: {_short(folder / 'sweep.csv')}", flush=True)
    return ordered


def _run_job(job: Job, timeout_minutes: float | None) -> JobResult:
    job.folder.mkdir(parents=True, exist_ok=True)
    own = ("hydra.", "hydra/")
    overrides = [word for word in job.overrides if not word.lstrip("+~").startswith(own)]
    command = [sys.executable, *_program(), *overrides, f"run_dir={_quoted(str(job.folder))}"]
    environment = {key: value for key, value in os.environ.items() if key not in WORLD_VARIABLES}
    environment["PROSPERO_SWEEP"] = job.folder.parent.name
    start = time.monotonic()
    with open(job.folder / "console.log", "wb") as console:
        console.write(f"$ {shlex.join(command)}\n".encode())
        console.flush()
        try:
            limit = timeout_minutes * 60 if timeout_minutes else None
            code = subprocess.run(command, stdout=console, stderr=console, env=environment, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            console.write(f"ended after {timeout_minutes} minutes\n".encode())
            code = 124
    metrics = {}
    if code == 0 and (job.folder / RESULT_FILE).is_file():
        metrics = json.loads((job.folder / RESULT_FILE).read_text(encoding="utf-8"))
    return JobResult(job=job, exit_code=code, seconds=time.monotonic() - start, metrics=metrics)


def _program() -> list[str]:
    """The words after the interpreter that start this same program for one job."""
    script = Path(sys.argv[0])
    return (
        [str(script.resolve())] if script.suffix == ".py" and script.name == "train.py" else ["-m", "prospero", "train"]
    )


def _quoted(text: str) -> str:
    """Quote a value for Hydra's grammar where it holds more than plain characters."""
    plain = all(char.isalnum() or char in "/._-" for char in text)
    return text if plain else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _last_words(job: Job) -> str:
    text = (job.folder / "console.log").read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return "\n".join(f"    {line}" for line in text[-3:]) + f"\n    all of it: {_short(job.folder / 'console.log')}"


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _columns(results: list[JobResult]) -> list[str]:
    keys: dict[str, None] = {}
    for result in results:
        keys.update(dict.fromkeys(_settings(result.job)))
    return list(keys)


def _settings(job: Job) -> dict[str, str]:
    settings = {}
    for word in job.overrides:
        key, _, value = word.lstrip("+").partition("=")
        settings[key] = value
    return settings


def best_first(results: list[JobResult]) -> list[JobResult]:
    """Sort by the objective, lowest first; NaN, then failed jobs last."""
    return sorted(results, key=lambda r: (r.objective is None, math.isnan(r.objective or 0.0), r.objective or 0.0))


def write_table(path: Path, results: list[JobResult]) -> None:
    """Write all results, best first, to a CSV file, whole or not at all."""
    settings = _columns(results)
    metrics: dict[str, None] = {}
    for result in results:
        metrics.update(dict.fromkeys(key for key in result.metrics if key not in ("objective", "objective_name")))
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "job", "status", "objective", *settings, *metrics, "seconds", "folder"])
        for rank, result in enumerate(best_first(list(results)), start=1):
            chosen = _settings(result.job)
            row = [rank, result.job.number, result.status, result.objective, *(chosen.get(key, "") for key in settings)]
            row += [result.metrics.get(key, "") for key in metrics]
            writer.writerow([*row, round(result.seconds, 1), result.job.folder])


def screen_table(results: list[JobResult]) -> str:
    """Return the table for the screen: the jobs, best first, and, where seeds repeat a setting, the settings' means."""
    settings = [key for key in _columns(results) if len({_settings(r.job).get(key) for r in results}) > 1]
    name = next((str(r.metrics["objective_name"]) for r in results if "objective_name" in r.metrics), "objective")
    rows = [["rank", "job", *settings, name, "seconds"]]
    for rank, result in enumerate(best_first(results), start=1):
        value = f"{result.objective:.4f}" if result.objective is not None else result.status
        chosen = [_settings(result.job).get(key, "") for key in settings]
        rows.append([str(rank), str(result.job.number), *chosen, value, f"{result.seconds:.0f}"])
    text = "\n" + _aligned(rows)
    means = _means_over_seeds(results, [key for key in settings if key != "seed"], name)
    return text + ("\n\n" + means if means else "")


def _means_over_seeds(results: list[JobResult], settings: list[str], name: str) -> str:
    """The mean of each setting over its seeds with Student's 95 % interval: which difference is real."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for result in results:
        if result.objective is not None and "seed" in _settings(result.job):
            key = tuple(_settings(result.job).get(setting, "") for setting in settings)
            groups.setdefault(key, []).append(result.objective)
    if not settings or not any(len(values) > 1 for values in groups.values()):
        return ""
    rows = [[*settings, f"mean {name}", "± 95 %", "seeds"]]
    for key, values in sorted(groups.items(), key=lambda item: statistics.fmean(item[1])):
        half = "-"
        if len(values) > 1:
            t = STUDENT_95.get(len(values) - 1, 1.96)
            half = f"{t * statistics.stdev(values) / math.sqrt(len(values)):.4f}"
        rows.append([*key, f"{statistics.fmean(values):.4f}", half, str(len(values))])
    return "over seeds:\n" + _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
