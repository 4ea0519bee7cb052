"""Rows of runs: what each says, and what is said of those that are damaged, growing or held."""

import json
import math

import pytest

from prospero.processes.run_lock import RunLock
from prospero.runs.overview import State, newest_values, read_row, read_rows, shown_count, shown_time
from tests.runs.fakes import RESULT, make_run


def test_a_finished_run_is_a_row(tmp_path):
    folder = make_run(tmp_path / "train" / "a", lr="1e-3", seed=3)
    row = read_row(folder, tmp_path)
    assert (row.name, row.state, row.problem, row.sweep) == ("a", State.done, "", None)
    assert (row.model, row.parameters, row.steps, row.seconds) == ("transformer", 2164928, 300, 90.0)
    assert row.numbers["val/loss"] == 2.5 and row.numbers["train/loss"] == 3.25
    assert row.settings["optimizer.lr"] == 0.001 and row.settings["tags"] == ["a", "b c"]
    assert row.settings["callbacks"] == "checkpoints,ema" and "regularizers" not in row.settings
    assert row.begun == 1_700_000_000.0


def test_how_runs_stand(tmp_path):
    for name, status in (("done", "DONE"), ("pruned", "PRUNED"), ("stopped", "STOPPED")):
        assert read_row(make_run(tmp_path / name, result={"status": status}), tmp_path).state is State[name]
    broken = make_run(tmp_path / "broken", result=None)
    assert read_row(broken, tmp_path).state is State.broken_off
    (broken / "diagnosis.json").write_text("{}")
    assert read_row(broken, tmp_path).state is State.diverged
    with RunLock(broken).take():
        assert read_row(broken, tmp_path).state is State.running
    assert (broken / "metrics.csv").exists() and read_row(broken, tmp_path).steps == 20


def damaged(tmp_path):
    """Damaged folders: name -> what is said of them."""
    train = tmp_path / "train"
    (train / "empty").mkdir(parents=True)
    for name, text in (
        ("binary", b"\xff\xfe\x00"), ("list", b"- a\n"), ("cut", b"model: {n_layers: 4\nseed"), ("deep", b"[" * 4000),
    ):  # fmt: skip
        (make_run(train / name) / "config.yaml").write_bytes(text)
    config = make_run(train / "folder") / "config.yaml"
    config.unlink()
    config.mkdir()
    return {
        "empty": "it has no config.yaml", "binary": "config.yaml cannot be read: 'utf-8' codec",
        "list": "config.yaml cannot be read: it holds no settings", "cut": "config.yaml cannot be read: no YAML at",
        "deep": "config.yaml cannot be read: ", "folder": "config.yaml cannot be read: Is a directory",
    }  # fmt: skip


def test_damaged_folders_are_rows_with_what_is_wrong(tmp_path):
    expected = damaged(tmp_path)
    rows = {row.name: row for row in read_rows(tmp_path)}
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        assert row.state is State.damaged and row.problem.startswith(expected[name]), row


@pytest.mark.parametrize("text", ['{"status": "DONE", "val/lo', "[1]", "\0", ""])
def test_a_damaged_result_is_said(text, tmp_path):
    folder = make_run(tmp_path / "train" / "a")
    (folder / "result.json").write_text(text)
    row = read_row(folder, tmp_path)
    assert (row.state, row.problem) == (State.broken_off, "result.json cannot be read")
    assert row.steps == 20 and row.numbers["val/loss"] == 3.0


def test_odd_numbers_end_nothing(tmp_path):
    result = RESULT | {"val/loss": math.nan, "steps": None, "training_seconds": "x", "val/accuracy": [1]}
    row = read_row(make_run(tmp_path / "a", result=result), tmp_path)
    assert math.isnan(row.numbers["val/loss"]) and row.steps == 20 and row.seconds == 9.0
    assert "val/accuracy" not in row.numbers


def test_a_growing_metrics_file_is_read_to_its_last_whole_line(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,tokens,train/loss,val/loss,train/seconds\n10,80,3.5,2.0,5.0\n20,160,3.25,,9.0\n30,240,3.")
    assert newest_values(path) == (
        20,
        {"tokens": 160.0, "train/loss": 3.25, "val/loss": 2.0, "train/seconds": 9.0},
    )
    path.write_text("step,tok")
    assert newest_values(path) == (None, {})
    path.write_bytes(b"")
    assert newest_values(path) == (None, {})


def test_the_newest_value_is_found_far_from_the_end_of_a_long_file(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = "".join(f"{step},{step * 8},3.5,,{step}.0\n" for step in range(1, 40_001))
    path.write_text("step,tokens,train/loss,val/loss,train/seconds\n0,0,9.0,7.5,0.0\n" + rows)
    assert newest_values(path)[0] == 40_000
    assert newest_values(path)[1]["val/loss"] == 7.5


def test_jobs_of_sweeps_and_runs_beside_train_are_rows(tmp_path):
    sweep = tmp_path / "sweeps" / "s 'one'"
    make_run(sweep / "0")
    for number in "123":
        (sweep / number).mkdir()
    jobs = [{"number": 1, "status": "WAITING"}, {"number": 2, "status": "RUNNING"}, {"number": 3, "status": "FAILED"}]
    (sweep / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    make_run(tmp_path / "mine")
    (tmp_path / "data" / "stdlib").mkdir(parents=True)
    rows = {row.name: row for row in read_rows(tmp_path)}
    assert rows.keys() == {str(tmp_path / "mine"), *(str(sweep / number) for number in "0123")}
    assert rows[str(sweep / "0")].sweep == "s 'one'" and rows[str(tmp_path / "mine")].sweep is None
    assert [rows[str(sweep / number)].state for number in "123"] == [State.waiting, State.running, State.damaged]
    (sweep / "sweep.json").write_text('{"jobs": [{"number"')
    assert {row.state for row in read_rows(tmp_path) if row.folder.name in "123"} == {State.damaged}


def test_the_newest_comes_first_and_no_folder_is_no_row(tmp_path):
    for number, name in enumerate(("old", "middle", "new")):
        make_run(tmp_path / "train" / name, begun=1000.0 + number)
    assert [row.name for row in read_rows(tmp_path)] == ["new", "middle", "old"]
    assert read_rows(tmp_path / "nowhere") == []


def test_times_and_counts_in_words():
    assert [shown_time(s) for s in (5, 59.4, 90, 3599, 3600, 40_000, 200_000, 2e6)] == [
        "5s", "59s", "2m", "60m", "1.0h", "11h", "2.3d", "23d",
    ]  # fmt: skip
    assert [shown_time(s) for s in (None, math.nan)] == ["", ""]
    assert [shown_count(n) for n in (None, 999, 1234, 2164928, 7.5e9)] == ["", "999", "1.23k", "2.16M", "7.5B"]
