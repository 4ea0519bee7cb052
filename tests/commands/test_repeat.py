"""`prospero repeat`: what comes out digit for digit, what does not, and what is refused.

A changed setting or weight, two processes, a run that was killed, one that the clock ended, a repetition that is broken
off: pytest tests/commands/test_repeat.py --long
"""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from prospero.commands.repeat import RepeatConfig, compared, repeat
from prospero.commands.repeatable import open_repeatable
from prospero.commands.train import train
from prospero.configuration.compose import compose
from prospero.errors import ConfigError, DataError, ProsperoError
from prospero.runs.folder import RunFolder

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "model.d_model=16", "seq_len=16",
    "global_batch_size=4", "micro_batch_size=2", "trainer.log_every_steps=1", "trainer.val_every_steps=3",
    "trainer.val_sequences=8", "trainer.test_sequences=8", "callbacks=[checkpoints]", "optimizer=adamw",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repeat")
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(800)]
    (folder / "text.txt").write_text("".join(lines))
    return folder


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


def trained(place, name, *words):
    if not (place / "outputs" / name).exists():
        assert train(compose("train", [*SETTINGS, f"run_dir=outputs/{name}", f"name={name}", *words])) == 0
    return place / "outputs" / name


@pytest.fixture
def run(place):
    return trained(place, "a", "max_steps=6")


def copied(run, name):
    shutil.copytree(run, run.parent / name)
    return RunFolder(run.parent / name)


def in_group(leader):
    """The processes of a group that are still there."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            found += [process] if os.getpgid(process.pid) == leader else []
    return found


def changed(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_same_code_on_the_same_machine_comes_out_digit_for_digit(run, capfd):
    assert repeat(RepeatConfig(run=str(run), run_dir="outputs/a_again")) == 0
    said = capfd.readouterr().out
    assert said.startswith("equal: ") and "metrics: the same digit for digit" in said
    assert "weights of model/: the same" in said and "weights of step 6: the same" in said
    found = json.loads((run.parent / "a_again" / "repetition.json").read_text())
    assert found["equal"] and found["rows"] == 6 and found["first"] is None and not found["surroundings"]
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (run, run.parent / "a_again")]
    assert [row["train/loss"] for row in rows[0]] == [row["train/loss"] for row in rows[1]]


def test_what_differs_is_judged_with_its_probable_cause(run):
    other = copied(run, "judged")
    rows = other.metrics.read_text().splitlines(keepends=True)
    cells = rows[3].split(",")
    cells[2] = "5.5"
    other.metrics.write_text("".join([*rows[:3], ",".join(cells), *rows[4:]]))
    facts = json.loads(other.environment.read_text())
    facts["hardware"]["threads"] += 1
    other.environment.write_text(json.dumps(facts))
    found = compared(open_repeatable(other.path), RunFolder(run), None)
    assert not found.equal and found.digits.first is not None and found.digits.differing == 1
    assert (found.digits.first.step, found.digits.first.column, found.digits.first.then) == (3, "train/loss", "5.5")
    assert len(found.weights) == 2 and all(weights.equal for weights in found.weights)
    threads = facts["hardware"]["threads"]
    assert found.text().splitlines()[-1] == f"probable cause: hardware.threads {threads} -> {threads - 1}"


@pytest.mark.deep
def test_a_setting_that_was_changed_since_is_where_it_first_differs_and_why(run, capfd):
    other = copied(run, "other")
    changed(other.config, "eps: 1.0e-08", "eps: 1.0e-04")
    facts = json.loads(other.environment.read_text())
    facts["packages"]["torch"] = "1.0"
    other.environment.write_text(json.dumps(facts))
    assert repeat(RepeatConfig(run=str(other.path), steps=3, run_dir="outputs/other_again")) == 1
    said = capfd.readouterr().out
    assert said.startswith("differs: ") and "metrics: first differ at step 2, train/loss: " in said
    assert "packages.torch 1.0 -> 2" in said and "config.yaml was changed after the run: optimizer.eps 1e-08" in said
    found = json.loads((run.parent / "other_again" / "repetition.json").read_text())
    assert (found["first"]["step"], found["first"]["column"], found["rows"]) == (2, "train/loss", 3)


def test_what_cannot_be_repeated_is_refused_in_one_line_and_leaves_nothing(run, place):
    def refused(folder, message, error: type[ProsperoError] = ConfigError, steps=None):
        with pytest.raises(error, match=message):
            repeat(RepeatConfig(run=str(folder), run_dir="outputs/refused", steps=steps))
        assert not (place / "outputs" / "refused").exists()

    refused(run, "steps=7 is more than the 6 steps that", steps=7)
    refused(place, r"is no run: it has no config\.yaml", DataError)
    resumed = copied(run, "resumed")
    changed(resumed.log, "run folder:", "continuing from outputs/a/checkpoints/step_00000003\nrun folder:")
    refused(resumed.path, "was resumed from outputs/a/checkpoints/step_00000003")
    begun = copied(run, "begun")
    changed(begun.config, "init_from: null", "init_from: last")
    source = {"given": "last", "path": str(place / "gone"), "model": {}, "fingerprint": "", "tokenizer": ""}
    begun.init_from.write_text(json.dumps({**source, "trained_on": []}))
    refused(begun.path, r"init_from=last of the run was .*/gone, which is gone")
    bare = copied(run, "bare")
    bare.metrics.unlink()
    refused(bare.path, r"metrics\.csv has no row", DataError)
    timed = copied(run, "timed_before")
    changed(timed.config, "max_minutes: null", "max_minutes: 5.0")
    facts = json.loads(timed.environment.read_text())
    timed.environment.write_text(json.dumps({**facts, "hardware": {}}))
    refused(timed.path, "had max_minutes=5, so its schedule followed the clock")
    wide = copied(run, "wide")
    facts["hardware"]["num_nodes"] = 2
    wide.environment.write_text(json.dumps(facts))
    refused(wide.path, "ran on several machines")
    text = (place / "text.txt").read_text()
    (place / "text.txt").write_text(text + "One line more.\n")
    refused(run, "the data are others than then: fingerprint")
    (place / "text.txt").write_text(text)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="steps=0 is not possible"):
        RepeatConfig(steps=0)
    with pytest.raises(ConfigError, match="run= is empty"):
        RepeatConfig(run=" ")


@pytest.mark.deep
def test_a_weight_that_was_changed_is_seen(run, capfd):
    from safetensors.torch import load_file, save_file

    other = copied(run, "weight")
    file = other.model / "model.safetensors"
    weights = load_file(file)
    name = sorted(weights)[0]
    weights[name].view(-1)[0] += 0.5
    save_file(weights, file)
    assert repeat(RepeatConfig(run=str(other.path), run_dir="outputs/weight_again")) == 1
    said = capfd.readouterr().out
    assert "metrics: the same digit for digit" in said and "weights of step 6: the same" in said
    assert f"weights of model/: 1 of {len(weights)} tensors differ, by up to 0.5 (first {name})" in said
    assert "model/ is not as the run wrote it" in said


@pytest.mark.deep
@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
def test_two_processes_are_started_as_train_does(trainer, place):
    words = [f"trainer={trainer}", "trainer.accelerator=cpu", "trainer.devices=2", "max_steps=6"]
    command = [sys.executable, str(ROOT / "train.py"), *SETTINGS, *words, f"run_dir=outputs/{trainer}"]
    subprocess.run(command, check=True, timeout=400)
    assert repeat(RepeatConfig(run=f"outputs/{trainer}", run_dir=f"outputs/{trainer}_again")) == 0


@pytest.mark.deep
def test_a_run_that_was_killed_is_repeated_to_its_last_row(place, capfd):
    words = [*SETTINGS, "max_steps=2000", "schedule=linear", "run_dir=outputs/killed"]
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *words], start_new_session=True)
    metrics = place / "outputs/killed/metrics.csv"
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert repeat(RepeatConfig(run="outputs/killed", run_dir="outputs/killed_again")) == 0
    assert "weights: not compared" in capfd.readouterr().out


@pytest.mark.deep
def test_a_run_that_the_clock_ended_is_repeated_to_the_same_step(place):
    run = trained(place, "timed", "max_minutes=0.05", "schedule=linear")
    assert json.loads((run / "result.json").read_text())["stop_reason"].startswith("max_minutes")
    assert repeat(RepeatConfig(run=str(run), run_dir="outputs/timed_again")) == 0
    assert json.loads((run.parent / "timed_again" / "repetition.json").read_text())["weights"]


@pytest.mark.deep
def test_a_repetition_that_is_broken_off_says_so_and_leaves_no_process(place):
    run = trained(place, "long", "max_steps=400", "trainer.log_every_steps=1")
    words = ["-m", "prospero", "repeat", f"run={run}", "run_dir=outputs/broken"]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True, start_new_session=True)
    metrics = place / "outputs/broken/metrics.csv"
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM and "broken off: " in said
    assert "metrics: the same digit for digit" in said


@pytest.mark.deep
def test_the_training_of_a_repetition_that_is_killed_saves_and_leaves(place):
    run = trained(place, "long", "max_steps=400", "trainer.log_every_steps=1")
    words = ["-m", "prospero", "repeat", f"run={run}", "run_dir=outputs/orphan"]
    process = subprocess.Popen([sys.executable, *words], start_new_session=True)
    metrics = place / "outputs/orphan/metrics.csv"
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    while in_group(process.pid):
        time.sleep(0.1)  # the timeout of the tests ends a wait for ever
    assert metrics.read_bytes().count(b"\n") < 400  # it did not run to its end
    assert list((place / "outputs/orphan/checkpoints").glob("step_*"))
