"""`doctor`: what it prints and writes of a run of before, of a sweep, and of this machine."""

import json
import shutil
from pathlib import Path

import pytest

from prospero import compose
from prospero.commands.doctor import doctor
from prospero.errors import ConfigError, DataError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_before_the_move"


def said(capsys, *words: str) -> str:
    assert doctor(compose("doctor", list(words))) == 0
    return capsys.readouterr().out


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(FIXTURE, tmp_path / "outputs" / "train" / "2026-01-02_03-04-05_earlier")


def test_a_run_of_before_the_callback_and_without_its_data(run, capsys, tmp_path):
    outputs = f"outputs_dir={tmp_path / 'outputs'}"
    text = said(capsys, "run=earlier", outputs)
    assert text.startswith(f"{run} has come to its end; 13 steps")
    assert "nothing was found by" in text
    assert (
        "dead_units (step_00000012 does not name the parts" in text
        and "rate_too_low (13 steps are too few (20))" in text
    )
    assert json.loads((run / "doctor.json").read_text())["findings"] == []
    assert "dead_units (the model was not opened" in said(capsys, "run=last", outputs, "probe=false")


def test_a_finding_is_printed_with_its_number_its_source_and_what_to_change(run, capsys):
    rows = "".join(f"{step},{step * 64},{5 - step / 100},0.7\n" for step in range(1, 31))
    (run / "metrics.csv").write_text("step,tokens,train/loss,train/data_wait_ratio\n" + rows)
    text = said(capsys, f"run={run}", "probe=false")
    assert "problem: training waits for its data\n  70 % of the time of a step is waiting (limit 10)\n" in text
    assert "  change: data.num_workers=2" in text and "  source: MLPerf Storage" in text


def test_a_sweep_gets_a_line_for_each_run(run, capsys, tmp_path):
    sweep = tmp_path / "sweep"
    for number in "01":
        shutil.copytree(run, sweep / number)
    (sweep / "sweep.json").write_text("{}")
    lines = said(capsys, f"run={sweep}").splitlines()
    assert lines[:2] == ["0: nothing found", "1: nothing found"] and f"run={sweep / '0'}" in lines[-1]
    for number in "01":
        shutil.rmtree(sweep / number)
    with pytest.raises(ConfigError, match="holds no run yet"):
        doctor(compose("doctor", [f"run={sweep}"]))


def test_what_would_be_ignored_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="seq_len= describes a run that has not begun"):
        doctor(compose("doctor", [f"run={run}", "seq_len=99"]))
    with pytest.raises(DataError, match="is no run"):
        doctor(compose("doctor", [f"run={tmp_path}"]))
    with pytest.raises(ConfigError, match="too few to see noise"):
        compose("doctor", ["probe_sequences=1"])
    assert not (tmp_path / "doctor.json").exists()


def test_the_machine_for_a_run_that_fits_and_one_that_does_not(capsys, tmp_path):
    small = ["model=tiny", "tokenizer=byte", "trainer.accelerator=cpu", f"outputs_dir={tmp_path}", "seq_len=32"]
    text = said(capsys, *small)
    assert text.startswith("processor") and "139,840 parameters" in text and "timed here" in text
    assert "does not fit" not in text and list(tmp_path.iterdir()) == []
    text = said(capsys, *small, "global_batch_size=10000000", "max_steps=1")
    assert "problem: it does not fit the memory" in text and "from the speed of products" in text


def test_a_machine_without_what_is_asked_for(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = said(capsys, "model=tiny", "tokenizer=byte", "trainer=gpu", f"outputs_dir={tmp_path}")
    assert "\nproblem: trainer" in text
