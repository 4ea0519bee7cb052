"""One bit of a run's files turned over, anywhere: it is named, never silent, never a traceback, and nothing is lost."""

import random
import shutil
from pathlib import Path

import pytest

from prospero import compose
from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.run_checkpoints import RunCheckpoints
from prospero.commands.train import train
from prospero.errors import DataError
from prospero.training import results
from prospero.training.session import open_session
from tests.checkpoints.stored import flip

WORDS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "model.d_model=16", "model.n_heads=2",
    "model.n_layers=1", "seq_len=32", "global_batch_size=4", "trainer.accelerator=cpu", "trainer.precision=float32",
    "trainer.val_sequences=4", "trainer.test_sequences=4", "callbacks=[checkpoints]",
    "callbacks.checkpoints.every_steps=2", "callbacks.checkpoints.keep_last=3",
    "callbacks.checkpoints.keep_best=1", "run_dir=run",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    (folder / "text.txt").write_text("".join(f"The {n}th line, and {n} more.\n" for n in range(600)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(results, "write_report", lambda *_, **__: None)  # it takes most of the time of so short a run
        assert train(compose("train", [*WORDS, "max_steps=6"])) == 0
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(results, "write_report", lambda *_, **__: None)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a run but its log, which says what was found."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "log.txt")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def flipped(folder: Path, draw: random.Random) -> Path:
    """Turn one bit of the files below `folder` over, each bit as likely as any other; return the file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    (path,) = draw.choices(files, [path.stat().st_size for path in files])
    flip(path, draw.randrange(8 * path.stat().st_size))
    return path


def resumed(*words: str):
    """Open the run as `resume=auto` does; return the step that it would go on from."""
    with open_session(compose("train", [*WORDS, "max_steps=8", "resume=auto", *words])) as session:
        return session.checkpoint.step if session.checkpoint is not None else None


def counts(long_form: bool) -> range:
    return range(500 if long_form else 8)


@pytest.mark.heavy
def test_a_bit_of_one_of_several_checkpoints(place, long_form):
    """The newest whole one is gone on from; the damaged one stays where and as it is until then."""
    draw = random.Random(8)
    for number in counts(long_form):
        copy = place / f"several{number}"
        shutil.copytree(place / "run", copy)
        path = flipped(copy / "checkpoints" / f"step_{draw.choice((2, 4, 6)):08d}", draw)
        before = content(copy)
        step = resumed(f"run_dir={copy.name}")
        assert step == (4 if path.parent.name == "step_00000006" else 6), path
        unreadable = RunCheckpoints(copy / "checkpoints")
        for found in unreadable.all():
            if found.path.name == path.parent.name:
                with pytest.raises(DataError, match="damaged"):
                    found.verify()
        assert content(copy) == before
        shutil.rmtree(copy)


@pytest.mark.heavy
def test_a_bit_of_the_only_checkpoint(place, long_form):
    """Nothing can be gone on from: that is refused, with the place, and every byte stays."""
    draw = random.Random(9)
    for number in counts(long_form):
        copy = place / f"one{number}"
        shutil.copytree(place / "run", copy)
        for step in (2, 4):
            shutil.rmtree(copy / "checkpoints" / f"step_{step:08d}")
        path = flipped(copy / "checkpoints" / "step_00000006", draw)
        before = content(copy)
        with pytest.raises(DataError, match=r"none of the 1 checkpoints in one\d+/checkpoints can be read") as error:
            resumed(f"run_dir={copy.name}")
        assert str(path.parent.relative_to(place)) in str(error.value) and "\n" not in str(error.value)
        assert content(copy) == before
        shutil.rmtree(copy)


def test_a_bit_of_a_model_folder(place, long_form):
    draw = random.Random(10)
    for number in counts(long_form):
        copy = place / f"model{number}"
        shutil.copytree(place / "run" / "model", copy)
        path = flipped(copy, draw)
        before = content(copy)
        with pytest.raises(DataError, match="damaged") as error:
            load_model(copy)
        assert copy.name in str(error.value) and "\n" not in str(error.value), path
        assert content(copy) == before
        shutil.rmtree(copy)


@pytest.mark.heavy
def test_going_on_puts_the_damaged_one_aside_and_keeps_every_byte(place):
    copy = place / "aside"
    shutil.copytree(place / "run", copy)
    flip(copy / "checkpoints" / "step_00000006" / "manifest.json", 999)
    flip(copy / "checkpoints" / "step_00000004" / "state.json", 999)
    before = {name: data for name, data in content(copy).items() if "step_00000006" in name or "step_00000004" in name}
    assert train(compose("train", [*WORDS, "max_steps=8", "resume=auto", "run_dir=aside"])) == 0
    after = content(copy)
    for name, data in before.items():
        moved = name.replace("step_00000006", "step_00000006.damaged").replace("step_00000004", "step_00000004.damaged")
        assert after[moved] == data
    assert "checkpoints/step_00000008/state.json" in after
