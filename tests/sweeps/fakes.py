"""What the tests of sweeps share: a fake train.py, jobs of it, and a way to run a sweep in a process of its own."""

import json
import shutil
import sys
from pathlib import Path

from prospero.runs.result import Status
from prospero.sweeps.folder import Identity, SweepFolder
from prospero.sweeps.job import Job, JobResult
from prospero.sweeps.slots import LaunchSettings
from prospero.sweeps.sweep import Sweep


def fake_program(tmp_path, monkeypatch) -> Path:
    """Put the fake in the place of train.py for the jobs of this test."""
    program = tmp_path / "train.py"
    shutil.copy(Path(__file__).parent / "fake_program.py", program)
    monkeypatch.setattr(sys, "argv", [str(program)])
    return program


def identity(*words, sweeper="grid", settings=None) -> Identity:
    return Identity(overrides=list(words), sweeper=sweeper, settings=settings)


def open_sweep(folder, *words, **settings) -> Sweep:
    launch = LaunchSettings(**settings)
    opened = SweepFolder.open(folder, True, identity(*words), retry_failed=launch.retry_failed)
    return Sweep(opened, launch)


def run_sweep(folder, overrides, **settings) -> Sweep:
    """Run a grid of the fake program in `folder`."""
    sweep = open_sweep(folder, *(" ".join(words) for words in overrides), **settings)
    with sweep.closing():
        sweep.run_all(sweep.folder.place(overrides))
    return sweep


def starts(folder: Path) -> list[dict]:
    """What the fake program wrote down each time it was started (and when it ended)."""
    return [json.loads(line) for line in (folder / "starts.jsonl").read_text().splitlines()]


def result(number, overrides, objective, tmp_path, status=None, name="val/loss", direction="minimize") -> JobResult:
    judged = {"objective": objective, "objective_name": name, "objective_direction": direction}
    metrics = {} if objective is None else {**judged, name: objective}
    job = Job(number=number, overrides=overrides, folder=tmp_path / str(number))
    status = status or (Status.failed if objective is None else Status.done)
    return JobResult(job=job, status=status, exit_code=int(status is Status.failed), seconds=1.0, metrics=metrics)
