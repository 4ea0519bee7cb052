"""A sweep's table: the best first, failed jobs last, and the mean over seeds with its interval."""

import csv
import sys

import pytest

from prospero.commands import sweep
from prospero.commands.sweep import Job, JobResult


def result(number, overrides, objective, tmp_path, code=0):
    metrics = {} if objective is None else {"objective": objective, "objective_name": "val/loss", "val/loss": objective}
    job = Job(number=number, overrides=overrides, folder=tmp_path / str(number))
    return JobResult(job=job, exit_code=code, seconds=1.0, metrics=metrics)


@pytest.fixture
def results(tmp_path):
    return [
        result(0, ["model=a", "seed=1"], 2.0, tmp_path),
        result(1, ["model=b", "seed=1"], 1.0, tmp_path),
        result(2, ["model=a", "seed=2"], 4.0, tmp_path),
        result(3, ["model=b", "seed=2"], None, tmp_path, code=1),
        result(4, ["model=c", "seed=1"], float("nan"), tmp_path),
    ]


def test_best_first_nan_and_failed_last(results):
    assert [r.job.number for r in sweep.best_first(results)] == [1, 0, 2, 4, 3]


def test_csv_has_settings_metrics_and_rank(results, tmp_path):
    sweep.write_table(tmp_path / "sweep.csv", results)
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["1", "0", "2", "4", "3"]
    assert rows[0]["model"] == "b" and rows[0]["val/loss"] == "1.0" and rows[-1]["status"] == "FAILED"


def test_screen_table_gives_mean_and_student_interval(results):
    text = sweep.screen_table(results)
    # a: mean 3.0, standard deviation sqrt(2), two seeds: 12.71 * sqrt(2) / sqrt(2) = 12.71
    assert "3.0000" in text and "12.7100" in text
    assert text.index("over seeds") > text.index("FAILED")


def test_jobs_run_in_processes_of_their_own_and_a_crash_does_not_end_the_sweep(tmp_path, monkeypatch, capsys):
    program = tmp_path / "train.py"
    program.write_text(
        "import json, os, sys\n"
        "settings = dict(word.split('=', 1) for word in sys.argv[1:])\n"
        "assert 'LOCAL_RANK' not in os.environ\n"
        "if settings['x'] == '2': sys.exit('it broke')\n"
        "json.dump({'objective': float(settings['x']), 'objective_name': 'loss'},\n"
        "          open(os.path.join(settings['run_dir'], 'result.json'), 'w'))\n"
    )
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("LOCAL_RANK", "1")
    jobs = [
        Job(number=i, overrides=[f"x={x}", "hydra.launcher.slots=2"], folder=tmp_path / "s" / str(i))
        for i, x in enumerate([3, 2, 1])
    ]
    results = sweep.run_jobs(jobs, tmp_path / "s", slots=2, timeout_minutes=None)
    assert [r.status for r in results] == ["DONE", "FAILED", "DONE"]
    assert [r.objective for r in results] == [3.0, None, 1.0]
    printed = capsys.readouterr().out
    assert "it broke" in printed and "console.log" in printed
    assert (tmp_path / "s" / "sweep.csv").is_file()


def test_a_job_over_its_time_is_ended_and_marked(tmp_path, monkeypatch):
    program = tmp_path / "train.py"
    program.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(sys, "argv", [str(program)])
    (done,) = sweep.run_jobs(
        [Job(number=0, overrides=[], folder=tmp_path / "0")], tmp_path, slots=1, timeout_minutes=0.005
    )
    assert done.status == "FAILED" and done.exit_code == 124
