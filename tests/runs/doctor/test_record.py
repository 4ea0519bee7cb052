"""Reading a run's folder: what is there, what is damaged, and how far the run has come."""

import json
import os
from pathlib import Path

import pytest

from prospero.errors import DataError
from prospero.processes.run_lock import RunLock, is_held
from prospero.runs.doctor.finding import CannotJudge
from prospero.runs.doctor.record import Stage, read_record

CONFIG = """
defaults: [base, /schema/train@_here_, /schema/packing/concat@packing, /schema/loss/cross_entropy@loss.cross_entropy]
global_batch_size: 4
seq_len: 8
max_tokens: 100
loss: {cross_entropy: {weight: 1.0}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "metrics.csv").write_text("step,tokens,train/loss,val/loss\n1,32,5.0,\n2,64,nan,4.0\n3,96,4.5,\n4,12")
    return tmp_path


def test_the_settings_and_the_whole_rows(folder):
    run = read_record(folder)
    assert run.series["train/loss"] == [(1, 5.0), (3, 4.5)] and run.series["val/loss"] == [(2, 4.0)]
    assert (run.steps, run.tokens, run.tokens_per_step, run.planned_steps) == (3, 96, 32, 4)
    assert run.parts["packing"] == "concat" and run.of_likelihood and run.from_scratch
    assert run.setting("loss.cross_entropy.weight") == 1.0 and run.setting("loss.focal.weight") is None


def test_how_far_it_has_come(folder):
    assert read_record(folder).stage is Stage.broken_off
    (folder / "diagnosis.json").write_text("{}")
    assert read_record(folder).stage is Stage.broken_off  # a table that says nothing
    (folder / "diagnosis.json").write_text('{"reason": "the loss is not finite"}')
    assert read_record(folder).stage is Stage.diverged
    (folder / "result.json").write_text('{"status": "STOPPED"}')
    assert read_record(folder).stage is Stage.stopped
    (folder / "result.json").write_text('{"status": "PRUNED"}')
    assert read_record(folder).stage is Stage.pruned
    (folder / "result.json").write_text('{"status": "DONE"}')
    assert read_record(folder).stage is Stage.ended
    lock = RunLock(folder).take()
    assert read_record(folder).stage is Stage.training
    assert read_record(folder, stage=Stage.ended).stage is Stage.ended
    lock.release()
    assert read_record(folder).stage is Stage.ended


def test_a_lock_is_told_without_touching_it(tmp_path):
    assert not is_held(tmp_path) and list(tmp_path.iterdir()) == []
    (tmp_path / ".lock").write_text("")  # left by a process that was killed
    assert not is_held(tmp_path)
    there = {"host": "another machine", "pid": 1, "since": "now"}
    (tmp_path / ".lock").write_text(json.dumps(there))  # on a file system whose locks do not reach this machine
    assert is_held(tmp_path)
    os.utime(tmp_path / ".lock", (0, 0))
    assert not is_held(tmp_path)


def test_what_is_damaged_is_absent(folder):
    for name in ("result.json", "receipt.json", "rollbacks.json"):
        (folder / name).write_text('{"half')
    run = read_record(folder)
    assert (run.result, run.receipt, run.rollbacks) == ({}, {}, [])
    (folder / "rollbacks.json").write_text('[{"at_step": 7}, 3]')
    assert read_record(folder).rollbacks == [{"at_step": 7}]


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(DataError, match=r"is no run: it has no config.yaml"):
        read_record(tmp_path)


def test_what_a_rule_has_to_know(folder):
    run = read_record(folder)
    run.needs_steps(3)
    with pytest.raises(CannotJudge, match=r"3 steps are too few \(4\)"):
        run.needs_steps(4)
    with pytest.raises(CannotJudge, match="no train/lr"):
        run.curve("train/lr")


def test_the_one_loss_of_a_config_of_before(folder):
    (folder / "config.yaml").write_text(CONFIG.replace("cross_entropy@loss.cross_entropy", "cross_entropy@loss"))
    assert read_record(folder).of_likelihood
    (folder / "config.yaml").write_text(CONFIG.replace("cross_entropy", "grpo"))
    assert not read_record(folder).of_likelihood
