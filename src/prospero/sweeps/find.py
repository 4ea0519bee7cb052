"""Sweeps as their readers find them: by `last`, a folder or a name; and the jobs of one, as they stand."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prospero.errors import ConfigError, suggest
from prospero.runs.result import Status, read_result
from prospero.sweeps.folder import SWEEP_FILE, read_record
from prospero.sweeps.job import Job


def find_sweep(sweep: str, outputs_dir: str) -> Path:
    """Return the folder of a sweep: `last` (the newest), a folder, or the name of one under `outputs_dir`/sweeps.

    Raises ConfigError naming the nearest when there is none.
    """
    root = Path(outputs_dir, "sweeps")
    found = sorted((path.parent for path in root.glob(f"*/{SWEEP_FILE}")), key=_changed)
    if sweep == "last":
        if not found:
            raise ConfigError(
                f"There is no sweep in {root} yet; make one with: python train.py -m model=a,b seed=1,2,3"
            )
        return found[-1]
    for path in (Path(sweep), root / sweep):
        if (path / SWEEP_FILE).is_file():
            return path
    if os.path.isdir(sweep):
        raise ConfigError(f"{sweep} is no sweep: it has no {SWEEP_FILE}; give runs=[...] for runs of their own")
    names = [path.name for path in found]
    newest = f" The newest: {', '.join(names[-3:])}." if names else ""
    raise ConfigError(
        f"There is no sweep '{sweep}' in {root}.{suggest(sweep, names)}{newest} Or give a folder, or last."
    )


def _changed(path: Path) -> float:
    return (path / SWEEP_FILE).stat().st_mtime


def jobs_of(sweep: Path) -> list[tuple[Job, Status]]:
    """Return the jobs of a sweep in their order, and how each stands; ConfigError where it cannot be read."""
    record = read_record(sweep)
    if not record:
        raise ConfigError(f"{sweep / SWEEP_FILE} cannot be read, or is of another version of Prospero")
    jobs = []
    for entry in sorted(record["jobs"], key=lambda entry: entry["number"]):
        folder, status = sweep / str(entry["number"]), Status(entry["status"])
        if not status.ended:  # it may have come to its end while nobody was there to write it down
            status = next((s for s in Status if s.ended and s.value == read_result(folder).get("status")), status)
        jobs.append((Job(number=entry["number"], overrides=entry["overrides"], folder=folder), status))
    return jobs


def varied(jobs: Sequence[Job]) -> list[str]:
    """Return the settings in which jobs differ, in the order in which they were given."""
    settings = [job.settings() for job in jobs]
    names = dict.fromkeys(name for chosen in settings for name in chosen)
    return [name for name in names if len({chosen.get(name) for chosen in settings}) > 1]


def called_by(settings: Mapping[str, str], names: Sequence[str]) -> str:
    """Return what a job is called: its settings `names`; where that is one, the seed aside, its value alone."""
    words = [f"{name}={settings[name]}" for name in names if name in settings and name != "seed"]
    words = [settings[name] for name in names if name in settings and name != "seed"] if len(words) == 1 else words
    return " ".join([*words, *([f"seed={settings['seed']}"] if "seed" in names and "seed" in settings else [])])
