"""Prospero from Python: what a script or a notebook gets from `prospero` itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import prospero
from prospero import compose, generate, load_model, open_run
from prospero.errors import ConfigError, DataError
from prospero.generation.sampling import SamplingConfig

FIXTURE = Path(__file__).parent / "fixtures" / "run_before_the_move"


@pytest.fixture
def outputs(tmp_path):
    shutil.copytree(FIXTURE, tmp_path / "train" / "2026-01-02_03-04-05_earlier")
    return tmp_path


def imported_by(code: str) -> set[str]:
    heavy = ("torch", "hydra", "omegaconf", "lightning", "numpy")
    code += f"\nimport sys; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)
    return set(done.stdout.split())


@pytest.mark.processes
def test_importing_it_brings_nothing_heavy():
    assert imported_by("import prospero; dir(prospero); prospero.__version__") == set()
    assert imported_by("from prospero import open_run") == set()
    assert "lightning" not in imported_by("from prospero import train, compose")


def test_every_name_is_there():
    assert set(prospero.__all__) <= set(dir(prospero))
    for name in prospero.__all__:
        assert callable(getattr(prospero, name)), name
    with pytest.raises(AttributeError, match="module 'prospero' has no attribute 'trian'"):
        _ = prospero.trian


def test_a_run_is_opened_by_name_and_read(outputs):
    run = open_run("earlier", outputs_dir=outputs)
    assert run.folder.path.name == "2026-01-02_03-04-05_earlier"
    assert run.config["seed"] == 3 and run.config["model"]["d_model"] == 16
    assert not {"defaults", "hydra"} & set(run.config)
    assert [step for step, _ in run.metrics["train/loss"]] == list(range(1, 14))
    assert run.result["steps"] == 14
    assert run.checkpoints.last().step == 12 and run.checkpoints is run.checkpoints
    assert open_run(outputs_dir=outputs) == open_run(run.folder.path) == run


def test_its_model_writes(outputs):
    run = open_run(outputs_dir=outputs)
    model, tokenizer, config = load_model(run)
    assert config["model"]["name"] == "transformer" and not model.training
    sampling = SamplingConfig(max_new_tokens=5, temperature=0.0)
    (completion,) = generate(model, tokenizer, ["The 3"], sampling)
    assert 0 < len(completion.ids) <= 5
    last, _, _ = load_model(run.checkpoints.last())
    assert all(torch.isfinite(parameter).all() for parameter in last.parameters())


def test_settings_are_composed_as_on_the_command_line():
    assert compose("train", ["model=tiny", "max_steps=3"]).max_steps == 3


def test_what_is_no_run_is_said_so(outputs, tmp_path):
    with pytest.raises(ConfigError, match=r"There is no run 'earlyer' in .*Did you mean 'earlier'"):
        open_run("earlyer", outputs_dir=outputs)
    with pytest.raises(ConfigError, match=r"holds no run: there is no config\.yaml in it; give a run's folder"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "is damaged"), ("- 1", "is damaged: it holds no settings"), (None, "there is no")]
)
def test_settings_that_cannot_be_read_are_one_line(outputs, text, message):
    run = open_run(outputs_dir=outputs)
    if text is None:
        run.folder.config.unlink()
    else:
        run.folder.config.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        _ = run.config
    assert "\n" not in str(caught.value)
