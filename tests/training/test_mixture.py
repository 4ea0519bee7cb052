"""A run on a mixture: losses of its parts, the same after a stop, and refused with other shares or too little text."""

import shutil
from pathlib import Path

import pytest

from prospero import compose
from prospero.commands.show_batch import show_batch
from prospero.commands.train import train
from prospero.errors import ConfigError
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.training import results

WORDS = [
    "data=mixture", "tokenizer=byte", "model=tiny", "model.d_model=16", "model.n_heads=2", "model.n_layers=1",
    "seq_len=32", "global_batch_size=4", "micro_batch_size=2", "optimizer=adamw", "optimizer.lr=1e-3",
    "schedule=constant", "schedule.warmup_steps=0", "trainer.accelerator=cpu", "trainer.precision=float32",
    "trainer.val_sequences=all", "trainer.test_sequences=4", "trainer.log_every_steps=1", "trainer.val_every_steps=4",
    "callbacks=[checkpoints]", "callbacks.checkpoints.every_steps=2", "callbacks.checkpoints.keep_last=9",
]  # fmt: skip
PARTS = "data.parts=[{data: files, name: few, path: few.txt}, {data: files, name: many, path: many.txt, weight: 2}]"


def run(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "write_report", lambda *_, **__: None)
        assert train(compose("train", [*WORDS, PARTS, *words])) == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    (folder / "few.txt").write_text("".join(f"The {n}th line, and {n} more.\n" for n in range(300)))
    (folder / "many.txt").write_text("".join(f"xx {n} yy {n * n} zz\n" for n in range(900)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("run_dir=whole", "max_steps=8")
        run("run_dir=first", "max_steps=4")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    yield place
    for name in ("a", "b"):
        shutil.rmtree(place / name, ignore_errors=True)


def series(folder):
    return metric_series(RunFolder(Path(folder)).metrics)


def test_losses_of_parts_make_up_the_loss(here):
    found = series("whole")
    shares = {name: [value for _, value in found[f"train/share/{name}"]] for name in ("few", "many")}
    assert shares["few"] == pytest.approx([0.5, 0.25, 0.25, 0.5, 0.25, 0.25, 0.5, 0.25], abs=1e-6)
    for step in range(8):
        parts = [found[f"train/loss/{name}"][step][1] * shares[name][step] for name in ("few", "many")]
        assert sum(parts) == pytest.approx(found["train/loss"][step][1], rel=1e-5)
    assert {"val/loss/few", "val/loss/many", "val/bits_per_byte/few", "test/loss/many"} <= set(found)


def test_a_run_that_goes_on_is_the_run_that_did_not_stop(here):
    shutil.copytree("first", "a")
    run("run_dir=a", "resume=auto", "max_steps=8")
    names = [name for name in series("whole") if name.startswith(("train/loss", "train/share"))]
    assert len(names) >= 5
    for name in names:
        assert series("a")[name] == series("whole")[name]


def test_other_shares_are_refused_in_place_and_said_in_a_branch(here, caplog):
    shutil.copytree("first", "a")
    other = PARTS.replace("weight: 2", "weight: 3")
    with pytest.raises(ConfigError) as error:
        run("run_dir=a", "resume=auto", "max_steps=8", other)
    assert "was trained on another mixture: data weights.step 0.many 2.0 -> 3.0; go on with the" in str(error.value)
    run("run_dir=b", "resume=first/checkpoints/step_00000004", "max_steps=6", other)
    assert "training goes on with another mixture" in (here / "b" / "log.txt").read_text()


def test_a_run_longer_than_its_text_is_refused_before_it_begins(here):
    ended = PARTS.replace("path: few.txt", "path: few.txt, max_epochs: 0.02").replace("weight: 2", "max_epochs: 0.02")
    with pytest.raises(ConfigError, match=r"have text for \d steps .* this run is 90 steps long; raise or leave out"):
        run("run_dir=b", "max_steps=90", ended)
    with pytest.raises(ConfigError, match="this run has no limit of steps"):
        run("run_dir=b", "max_steps=null", "max_minutes=1", ended)
    assert not (here / "b").exists()


def test_a_batch_is_shown(here, capsys):
    assert show_batch(compose("show_batch", [*WORDS, PARTS, "step=2", "shown_sequences=0"])) == 0
    assert "batch: 4 sequences, 128 targets" in capsys.readouterr().out
