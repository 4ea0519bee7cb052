"""The state of a run, from its files and its lock."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from prospero.board.states import LockWatch, State, state_of
from prospero.processes.run_lock import RunLock
from prospero.runs.folder import RunFolder
from tests.board.fakes import make_run


def state(folder, result=None, damage=(), locks=None):
    run = RunFolder(folder)
    return state_of(run, (locks or LockWatch()).is_held(run), result, list(damage))


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path, "run")


def test_a_run_runs_while_a_process_holds_its_lock(folder):
    with RunLock(folder).take():
        assert state(folder) is State.running
        assert state(folder, damage=["config.yaml cannot be read"]) is State.running
    assert state(folder) is State.failed


def test_the_lock_of_a_living_process_is_not_even_tried(folder, monkeypatch):
    monkeypatch.setattr("prospero.board.states.is_held", lambda folder: pytest.fail("it was tried"))
    with RunLock(folder).take():
        assert state(folder) is State.running


@pytest.mark.processes
def test_a_process_that_was_killed_leaves_its_lock(folder):
    words = "import sys, os; from pathlib import Path; from prospero.processes.run_lock import RunLock\n"
    words += "RunLock(Path(sys.argv[1])).take(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", words, str(folder)]).returncode == -9
    assert state(folder) is State.killed


def test_a_lock_of_another_machine_counts_while_it_is_touched(folder):
    (folder / ".lock").write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": ""}))
    assert state(folder) is State.running
    old = time.time() - 600
    os.utime(folder / ".lock", (old, old))
    assert state(folder) is State.killed


def test_a_fresh_lock_of_a_process_that_is_gone_is_tried(folder):
    nobody = 2**30  # above what any system gives out
    (folder / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": nobody, "since": ""}))
    assert state(folder) is State.killed


def test_an_old_lock_is_tried_once_in_a_while(folder, monkeypatch):
    (folder / ".lock").write_text("{}")
    os.utime(folder / ".lock", (1, 1))
    tried = []
    monkeypatch.setattr("prospero.board.states.is_held", lambda path: tried.append(path) or False)
    locks = LockWatch()
    assert [state(folder, locks=locks) for _ in range(3)] == [State.killed] * 3
    assert tried == [folder]
    os.utime(folder / ".lock", (2, 2))
    state(folder, locks=locks)
    assert len(tried) == 2


ENDED = [("DONE", State.finished), ("PRUNED", State.pruned), ("STOPPED", State.stopped), (3, State.finished)]


@pytest.mark.parametrize(("status", "expected"), ENDED)
def test_the_result_says_how_a_run_ended(folder, status, expected):
    (folder / "result.json").write_text("{}")
    assert state(folder, {"status": status}) is expected


def test_a_finished_run_that_was_taken_up_and_killed_is_killed(folder):
    (folder / "result.json").write_text("{}")
    os.utime(folder / "result.json", (1000, 1000))
    (folder / ".lock").write_text("{}")
    os.utime(folder / ".lock", (2000, 2000))
    assert state(folder, {"status": "DONE"}) is State.killed
    os.utime(folder / ".lock", (500, 500))
    assert state(folder, {"status": "DONE"}) is State.finished


def test_a_run_that_saved_and_left_is_stopped(folder):
    with open(folder / "log.txt", "a") as file:
        file.write("WARNING STOP file at step 30: saving, then leaving\nINFO saved\n")
    assert state(folder) is State.stopped


def test_what_cannot_be_read_is_damaged(folder):
    assert state(folder, {"status": "DONE"}, ["result.json cannot be read"]) is State.damaged
