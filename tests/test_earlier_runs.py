"""Files of runs made before the move of the walls still open, go on, run again and write (tests/fixtures)."""

import csv
import os
import shutil
import sys
from pathlib import Path

import pytest

from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.run_checkpoints import RunCheckpoints
from tests import programs

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[1]
FIXTURE = Path(__file__).parent / "fixtures" / "run_before_the_move"


def program(verb, *words, folder):
    command = [sys.executable, str(ROOT / f"{verb}.py"), *words]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROSPERO_")}
    done = programs.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "text.txt").write_text(
        "".join(f"The {n}th line says that {n} plus {n} is {2 * n}.\n" for n in range(600))
    )
    shutil.copytree(FIXTURE, folder / "whole")
    return folder


def numbers(file: Path) -> list[dict[str, float]]:
    with open(file, newline="") as opened:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(opened)]


@pytest.fixture(scope="module")
def continued(place):
    """The stored run, gone on with by its own config.yaml, which also shows that such a file composes."""
    program("train", "--config-dir", "whole", "--config-name", "config", "resume=auto", folder=place)
    return place / "whole"


def test_it_goes_on_as_if_nobody_had_stopped_it(continued):
    found, expected = numbers(continued / "metrics.csv"), numbers(FIXTURE / "expected_metrics.csv")
    assert [row["step"] for row in found] == [row["step"] for row in expected] == list(range(1, 15))
    for ours, theirs in zip(found, expected):
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=1e-4)


def test_its_checkpoint_and_its_model_open(place):
    last = RunCheckpoints(FIXTURE / "checkpoints").last()
    assert last is not None
    for source in (FIXTURE / "model", last.path):
        model, tokenizer, config = load_model(source)
        assert model.d_model == 16 and tokenizer.vocab_size == 257
        assert config["model"]["name"] == "transformer"


def test_it_writes(place):
    said = program("generate", "run=whole/model", "prompt=The 3", "sampling.temperature=0", folder=place).stdout
    assert said.startswith("The 3") and len(said) > 10
