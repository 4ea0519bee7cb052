"""Jobs of a sweep: side by side, each alone in its process; what is killed goes on, what is over is not run again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from prospero import cli
from prospero.errors import ConfigError
from prospero.runs.result import Status
from prospero.sweeps.folder import SweepFolder
from prospero.sweeps.slots import LaunchSettings
from tests.sweeps.fakes import fake_program, identity, open_sweep, run_sweep, starts

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent.parent


def statuses(sweep):
    return {result.job.number: result.status.value for result in sweep.results}


def record(folder):
    return json.loads((folder / "sweep.json").read_text())


def test_jobs_run_in_processes_of_their_own_and_a_crash_does_not_end_the_sweep(tmp_path, monkeypatch, capsys):
    fake_program(tmp_path, monkeypatch)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    words = [["x=3", "hydra.launcher.slots=2"], ["x=2", "crash=true"], ["x=1"]]
    sweep = run_sweep(tmp_path / "s", words, slots=2)
    assert statuses(sweep) == {0: "DONE", 1: "FAILED", 2: "DONE"} and sweep.exit_code == 1
    printed = capsys.readouterr().out
    assert "it broke" in printed and "console.log" in printed
    table = (tmp_path / "s" / "sweep.csv").read_text().splitlines()
    assert table[1].startswith("1,2,DONE,1.0") and "FAILED" in table[3]
    seen = [starts(tmp_path / "s" / str(number))[0] for number in range(3)]
    assert {one["LOCAL_RANK"] for one in seen} == {None} and {one["PROSPERO_SWEEP"] for one in seen} == {"s"}
    assert len({one["MASTER_PORT"] for one in seen[:2]}) == 2
    assert not any("hydra" in word for word in seen[0]["words"])
    assert record(tmp_path / "s")["state"] == "finished"


def test_slots_hold_jobs_side_by_side_and_no_more(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    run_sweep(tmp_path / "s", [[f"x={i}", "sleep=0.8"] for i in range(4)], slots=2)
    spans = [tuple(entry.get("start") or entry["end"] for entry in starts(tmp_path / "s" / str(i))) for i in range(4)]
    together = [sum(other[0] <= start < other[1] for other in spans) for start, _ in spans]
    assert max(together) == 2


def test_each_process_gets_its_share_of_the_processors(tmp_path, monkeypatch):
    from prospero.sweeps import slots

    monkeypatch.setattr(slots, "cores", lambda: 16)
    settings = LaunchSettings(slots=2)
    assert slots.threads(settings, 2, 4) == 2
    assert slots.threads(settings, 2, 16) == 1
    assert slots.threads(settings, 1, 1) is None
    assert slots.threads(LaunchSettings(threads_per_process=3), 1, 1) == 3


def test_gpus_are_handed_out_to_the_slots(monkeypatch):
    from prospero.sweeps.slots import make_slots

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert [slot.gpus for slot in make_slots(LaunchSettings(gpus_per_job=2))] == [["4", "5"], ["6", "7"]]
    assert [slot.gpus for slot in make_slots(LaunchSettings(slots=2))] == [["4", "5"], ["6", "7"]]
    assert [slot.gpus for slot in make_slots(LaunchSettings(slots=5))][3:] == [["7"], ["4"]]
    assert [slot.gpus for slot in make_slots(LaunchSettings(slots=2, gpus_per_job=0))] == [[], []]
    assert [slot.gpus for slot in make_slots(LaunchSettings())] == [None]
    with pytest.raises(ConfigError, match=r"slots=3 with hydra\.launcher\.gpus_per_job=2 needs 6 GPUs; 4 can be seen"):
        make_slots(LaunchSettings(slots=3, gpus_per_job=2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="needs 1 GPUs; 0 can be seen"):
        make_slots(LaunchSettings(gpus_per_job=1))


def test_a_job_sees_the_gpus_of_its_slot(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    run_sweep(tmp_path / "s", [["x=1", "sleep=0.5"], ["x=2", "sleep=0.5"]], gpus_per_job=1)
    assert {starts(tmp_path / "s" / str(i))[0]["CUDA_VISIBLE_DEVICES"] for i in range(2)} == {"2", "3"}


def test_a_job_over_its_time_is_ended_and_marked(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    sweep = run_sweep(tmp_path / "s", [["x=1", "sleep=60", "hang=true"]], timeout_minutes=0.01, grace_seconds=0.5)
    assert statuses(sweep) == {0: "FAILED"} and sweep.results[0].exit_code == 124
    assert "ended after 0.01 minutes" in (tmp_path / "s" / "0" / "console.log").read_text()


def test_processes_that_a_job_leaves_behind_are_ended(tmp_path, monkeypatch):
    from prospero.sweeps import runner

    monkeypatch.setattr(runner, "LEFTOVER_SECONDS", 0.3)
    fake_program(tmp_path, monkeypatch)
    run_sweep(tmp_path / "s", [["x=1", "child=true"]])
    child = int((tmp_path / "s" / "0" / "child.pid").read_text())
    time.sleep(0.2)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["monitor=val/loss,val/accuracy"], "judged by different numbers (monitor=val/accuracy,val/loss)"),
        (["seed=1,2", "monitor=val/los"], "monitor=val/los is not measured. Did you mean 'val/loss'?"),
        (["metrics=[accuracy],[perplexity]", "monitor=val/accuracy"], "monitor=val/accuracy is not measured."),
    ],
)
def test_a_grid_is_judged_by_one_number_that_every_job_measures(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main("train", ["-m", *words])
    assert left.value.code == 2 and expected in capsys.readouterr().err
    assert not list(tmp_path.glob("outputs/sweeps/*/*"))


def test_a_run_without_a_result_has_failed(tmp_path, monkeypatch):
    program = fake_program(tmp_path, monkeypatch)
    program.write_text("")
    assert statuses(run_sweep(tmp_path / "s", [["x=1"]])) == {0: "FAILED"}


# Going on ------------------------------------------------------------------------------------------------------------


def start_sweep(tmp_path, overrides, **settings):
    """Run a sweep in a process of its own, so that it can be killed."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job would ignore it
        f"sys.argv = [{str(tmp_path / 'train.py')!r}]\n"
        "from tests.sweeps.fakes import run_sweep\nfrom pathlib import Path\n"
        f"sweep = run_sweep(Path({str(tmp_path / 's')!r}), {overrides!r}, **{settings!r})\n"
        "sys.exit(sweep.exit_code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(path, seconds=20.0):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)


SLOW = [["x=1"], ["x=2", "sleep_once=30"], ["x=3"]]


@pytest.mark.processes
def test_a_killed_sweep_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    fake_program(tmp_path, monkeypatch)
    killed = start_sweep(tmp_path, SLOW)
    wait_for(tmp_path / "s" / "1" / "starts.jsonl")
    time.sleep(0.3)
    killed.kill()
    killed.communicate()
    before = record(tmp_path / "s")
    assert before["state"] == "running" and [job["status"] for job in before["jobs"]] == ["DONE", "RUNNING"]
    sweep = run_sweep(tmp_path / "s", SLOW)
    assert statuses(sweep) == {0: "DONE", 1: "DONE", 2: "DONE"} and sweep.exit_code == 0
    assert [len([e for e in starts(tmp_path / "s" / str(i)) if "start" in e]) for i in range(3)] == [1, 2, 1]
    second = [entry for entry in starts(tmp_path / "s" / "1") if "start" in entry][1]
    assert "resume=auto" in second["words"]
    printed = capsys.readouterr().out
    assert "continuing 3 jobs" in printed and "1 already over" in printed and "still ran from before" in printed


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_jobs_and_the_sweep_ends_with_its_table(number, tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    sweep = start_sweep(tmp_path, [["x=1"], ["x=2", "sleep=30"], ["x=3"]])
    wait_for(tmp_path / "s" / "1" / "starts.jsonl")
    time.sleep(0.3)
    sweep.send_signal(number)
    printed, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 128 + number
    assert "STOPPED" in printed and "table:" in printed and "run the same command again" in printed
    assert not (tmp_path / "s" / "2").exists()
    assert [job["status"] for job in record(tmp_path / "s")["jobs"]] == ["DONE", "STOPPED"]


def test_failed_jobs_are_run_again_only_when_asked(tmp_path, monkeypatch):
    program = fake_program(tmp_path, monkeypatch)
    words = [["x=1"], ["x=2", "crash=true"]]
    run_sweep(tmp_path / "s", words)
    program.write_text(program.read_text().replace('== "true"', '== "never"'))
    with pytest.raises(ConfigError, match="holds this sweep, finished"):
        run_sweep(tmp_path / "s", words)
    sweep = run_sweep(tmp_path / "s", words, retry_failed=True)
    assert statuses(sweep) == {0: "DONE", 1: "DONE"}
    assert len([entry for entry in starts(tmp_path / "s" / "0") if "start" in entry]) == 1


def test_the_time_of_a_job_is_that_of_all_its_starts(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    run_sweep(tmp_path / "s", [["x=1", "crash=true"]])
    first = record(tmp_path / "s")["jobs"][0]["seconds"]
    again = run_sweep(tmp_path / "s", [["x=1", "crash=true"]], retry_failed=True)
    assert again.results[0].seconds > first > 0


def test_the_same_command_finds_its_unfinished_sweep_and_no_other(tmp_path):
    def opened(name, *words, settings=None):
        return SweepFolder.open(tmp_path / name, False, identity(*words, settings=settings))

    first = opened("1", "seed=1,2", "model=tiny")
    with pytest.raises(ConfigError, match=r"this sweep runs already, in .*1 \(process \d+\)"):
        opened("2", "seed=1,2", "model=tiny")
    first.close(finished=False)
    again = opened("3", "model=tiny", "seed=1,2")
    assert again.path.name == "1" and again.continued
    other = opened("4", "seed=1,2,3", "model=tiny")
    changed = opened("5", "seed=1,2", "model=tiny", settings="another default")
    assert (other.path.name, changed.path.name) == ("4", "5") and not other.continued
    again.close(finished=True)
    new = opened("1", "seed=1,2", "model=tiny")
    assert new.path.name == "1-2" and not new.continued


def test_a_named_folder_with_another_sweep_is_refused(tmp_path):
    SweepFolder.open(tmp_path / "mine", True, identity("seed=1,2")).close(finished=False)
    with pytest.raises(ConfigError, match=r"holds another sweep \(it was: seed=1,2\)"):
        SweepFolder.open(tmp_path / "mine", True, identity("seed=1,2,3"))
    with pytest.raises(ConfigError, match="its settings differ"):
        SweepFolder.open(tmp_path / "mine", True, identity("seed=1,2", settings="other"))
    assert SweepFolder.open(tmp_path / "mine", True, identity("seed=1,2")).continued


def test_jobs_keep_their_folders_whatever_their_order(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    sweep = open_sweep(tmp_path / "s", "a")
    sweep.run_all(sweep.folder.place([["x=1"], ["x=2"]]))
    jobs = sweep.folder.place([["x=2"], ["x=3"], ["x=1"], ["x=3"]])
    assert {job.overrides[0]: job.number for job in jobs} == {"x=2": 1, "x=3": 2, "x=1": 0}
    assert sweep.folder.result_of(jobs[0]).status is Status.done and sweep.folder.result_of(jobs[1]) is None


def test_what_a_job_was_started_from_is_kept_until_it_has_saved(tmp_path):
    from prospero.sweeps.job import Job

    job = Job(number=0, overrides=["resume=start/from", "x=1"], folder=tmp_path)
    assert "resume=start/from" in job.command()
    (tmp_path / "config.yaml").write_text("")
    assert "resume=start/from" in job.command() and "resume=auto" not in job.command()
    (tmp_path / "checkpoints" / "step_1").mkdir(parents=True)
    assert "resume=auto" in job.command() and "resume=start/from" not in job.command()
