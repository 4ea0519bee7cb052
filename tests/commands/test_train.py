"""The main job from text to run folder, as a user starts it: real processes, a tiny model, a few steps."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests import programs

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


def program(verb, *words, folder, run=programs.run):
    command = [sys.executable, str(ROOT / f"{verb}.py"), *words]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROSPERO_")}
    return run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(3000)]
    (folder / "text.txt").write_text("".join(lines))
    return folder


SETTINGS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "seq_len=32", "max_steps=4",
    "global_batch_size=4", "micro_batch_size=2", "trainer.log_every_steps=1", "trainer.val_sequences=8",
    "trainer.test_sequences=8",
    "callbacks.samples.max_new_tokens=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(place):
    words = [*SETTINGS, "regularizers=[l2,z_loss]", "run_dir=outputs/a"]
    done = program("train", *words, folder=place, run=subprocess.run)  # a fresh Python; the others here are copies
    assert done.returncode == 0, done.stderr
    return place / "outputs" / "a", done


def test_the_run_folder_has_everything(run):
    folder, done = run
    for name in (
        "config.yaml", "environment.json", "metrics.csv", "log.txt", "samples.md", "report.html", "loss.png",
        "receipt.json", "result.json", "model/model.safetensors", "model/config.json", "model/tokenizer.json",
    ):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 4 and result["tokens"] == 4 * 4 * 32
    assert 0 < result["val/bits_per_byte"] < 9 and 0 < result["bigram_bits_per_byte"] < 9
    assert "bigram model" in done.stderr and "parameters" in done.stderr


def test_every_part_of_the_loss_is_logged_by_name(run):
    with open(run[0] / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    for row in rows:
        parts = sum(float(row[f"train/loss/{name}"]) for name in ("cross_entropy", "l2", "z_loss"))
        assert parts == pytest.approx(float(row["train/loss"]), rel=1e-5)


def test_generate_writes_with_the_run_and_repeats_itself(run, place):
    words = ["run=last", "prompt=The ", "sampling.max_new_tokens=12"]
    first, second = (program("generate", *words, folder=place, run=run) for run in (subprocess.run, programs.run))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("The ") and first.stdout == second.stdout


def test_the_saved_config_runs_again_to_the_same_losses(run, place):
    """And a copy says word for word what the fresh Python said, but for what is measured and the data, now found."""
    words = ["--config-dir", "outputs/a", "--config-name", "config", "run_dir=outputs/again"]
    done = program("train", *words, folder=place)
    assert done.returncode == 0, done.stderr
    first, again = (
        re.sub(r"[\d.,:]+( ?k\b)?|outputs/a\w*", "", said).splitlines() for said in (run[1].stderr, done.stderr)
    )
    assert first[-20:] == again[-20:] and len(again) >= 20
    for name in ("val/loss", "test/loss"):
        first, again = (json.loads((place / f"outputs/{run}/result.json").read_text())[name] for run in ("a", "again"))
        assert first == again


def test_a_finished_run_is_not_overwritten(run, place):
    before = (run[0] / "metrics.csv").read_bytes()
    done = program("train", *SETTINGS, "run_dir=outputs/a", folder=place)
    assert done.returncode == 2 and "already holds a run" in done.stderr
    assert (run[0] / "metrics.csv").read_bytes() == before


def test_a_mistake_found_late_leaves_no_folder(place):
    done = program("train", *SETTINGS, "seq_len=999999", "run_dir=outputs/none", folder=place)
    assert done.returncode == 2 and "seq_len=999999" in done.stderr and "Traceback" not in done.stderr
    assert not (place / "outputs" / "none").exists()
