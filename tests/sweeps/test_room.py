"""A disk that is full for a while costs a sweep no job, and neither its record nor its table."""

import errno
import json
import threading

import pytest

from prospero.errors import DataError
from prospero.runs.result import Status
from prospero.sweeps import folder, room, runner, table
from prospero.sweeps.room import Pending
from tests.sweeps.fakes import fake_program, run_sweep, starts

FULL = OSError(errno.ENOSPC, "No space left on device")


class Disk:
    """A disk that is full for so many looks or writes."""

    def __init__(self, full_for):
        self.left = full_for

    def full(self):
        self.left -= 1
        return self.left >= 0

    def refusing(self, write):
        def refuse(*args, **options):
            if self.full():
                raise FULL
            return write(*args, **options)

        return refuse


def test_what_waits_is_written_once_with_its_newest_content(tmp_path, capsys):
    disk, pending = Disk(3), Pending()
    write = disk.refusing((tmp_path / "a").write_text)
    pending.write(tmp_path / "a", lambda: write("1"))
    pending.write(tmp_path / "a", lambda: write("2"))
    pending.catch_up()
    assert not (tmp_path / "a").exists()
    pending.finish()
    assert (tmp_path / "a").read_text() == "2"
    assert capsys.readouterr().out.count("is full; the sweep's files wait for room") == 1


def test_a_disk_that_stays_full_is_said_in_the_end_and_another_error_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.0)
    pending = Pending()
    pending.write(tmp_path / "sweep.json", Disk(99).refusing(lambda: None))
    with pytest.raises(DataError, match=r"is full, sweep.json is not up to date; .* run the same command again"):
        pending.finish()

    def denied():
        raise PermissionError(errno.EACCES, "denied")

    with pytest.raises(PermissionError):
        Pending().write(tmp_path / "a", denied)


def test_room_is_asked_of_the_nearest_folder_that_is_there(tmp_path, monkeypatch):
    usage = type("Usage", (), {"total": 10**9, "free": 16_000_000})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage if path == tmp_path else None)
    assert room.has_room(tmp_path / "0" / "deep")
    usage.free -= 1
    assert not room.has_room(tmp_path / "0")
    usage.total = 10**8  # a small disk
    assert room.has_room(tmp_path / "0")


@pytest.mark.processes
def test_record_and_table_wait_while_the_jobs_run(tmp_path, monkeypatch, capsys):
    fake_program(tmp_path, monkeypatch)
    disk = Disk(0)
    monkeypatch.setattr(folder, "write_text", disk.refusing(folder.write_text))
    monkeypatch.setattr(table, "atomic_path", disk.refusing(table.atomic_path))
    start = runner.Runner._start

    def fills_the_disk(self, job, slot):
        start(self, job, slot)
        disk.left = 4

    monkeypatch.setattr(runner.Runner, "_start", fills_the_disk)
    sweep = run_sweep(tmp_path / "s", [["x=1"], ["x=2"]])
    assert [result.status for result in sweep.results] == [Status.done] * 2 and sweep.exit_code == 0
    record = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert record["state"] == "finished" and [job["status"] for job in record["jobs"]] == ["DONE", "DONE"]
    assert len((tmp_path / "s" / "sweep.csv").read_text().splitlines()) == 3
    assert "wait for room" in capsys.readouterr().out


@pytest.mark.processes
def test_a_job_without_room_to_start_waits_for_it(tmp_path, monkeypatch, capsys):
    fake_program(tmp_path, monkeypatch)
    disk = Disk(2)
    monkeypatch.setattr(runner.Runner, "_start", disk.refusing(runner.Runner._start))
    sweep = run_sweep(tmp_path / "s", [["x=1"], ["x=2"]])
    assert [(result.job.number, result.status) for result in sweep.results] == [(0, Status.done), (1, Status.done)]
    assert capsys.readouterr().out.count("[0] waits for room: the disk of ") == 1


@pytest.mark.processes
@pytest.mark.parametrize("said", [True, False], ids=["it has said so", "it could not even say so"])
def test_a_job_that_fails_on_a_full_disk_is_started_again(said, tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    disk = Disk(0 if said else 3)
    monkeypatch.setattr(runner, "has_room", lambda folder: not disk.full())
    sweep = run_sweep(tmp_path / "s", [["x=1", "full_once=" + ("said" if said else "silent")], ["x=2"]])
    assert {result.job.number: result.status for result in sweep.results} == {0: Status.done, 1: Status.done}
    assert sum("start" in line for line in starts(tmp_path / "s" / "0")) == 2


@pytest.mark.processes
def test_a_job_that_needs_more_room_than_there_ever_is_fails(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch)
    monkeypatch.setattr(runner, "MOST_TIMES", 2)
    sweep = run_sweep(tmp_path / "s", [["x=1", "full=said"], ["x=2"]])
    assert {result.job.number: result.status for result in sweep.results} == {0: Status.failed, 1: Status.done}
    assert len(starts(tmp_path / "s" / "0")) == 3


@pytest.mark.heavy
def test_a_job_is_held_while_a_sweep_is_told_to_end(tmp_path):
    """A job that waits is neither started nor failed: the same command goes on with it."""
    from tests.sweeps.fakes import open_sweep

    sweep = open_sweep(tmp_path / "s", "x=1")
    sweep.runner._start = lambda job, slot: (_ for _ in ()).throw(FULL)
    timer = threading.Timer(0.5, lambda: setattr(sweep.runner, "signal", 15))
    timer.start()
    with sweep.closing():
        sweep.run_all(sweep.folder.place([["x=1"]]))
    timer.join()
    assert sweep.results == [] and sweep.exit_code == 143 and sweep.folder.record["state"] == "running"
