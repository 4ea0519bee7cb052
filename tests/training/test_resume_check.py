"""What a run may change when it goes on: a short list, said; all else is refused before anything is written."""

import shutil
from pathlib import Path

import pytest

from prospero import compose
from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints
from prospero.commands.train import train
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.training import results
from prospero.training.resume_check import MAY_CHANGE, Change, changes, part_names

WORDS = [
    "data=files", "data.path=text.txt", "tokenizer=bpe", "tokenizer.vocab_size=300", "model=tiny", "model.d_model=16",
    "model.n_heads=2", "model.n_layers=1", "seq_len=32", "global_batch_size=4", "micro_batch_size=2",
    "optimizer=adamw", "optimizer.lr=1e-3", "schedule=constant", "schedule.warmup_steps=0", "trainer.accelerator=cpu",
    "trainer.precision=float32", "trainer.val_sequences=4", "trainer.test_sequences=4", "trainer.log_every_steps=1",
    "trainer.val_every_steps=2", "callbacks=[checkpoints]", "callbacks.checkpoints.every_steps=2",
    "callbacks.checkpoints.keep_last=9",
]  # fmt: skip


def run(*words: str) -> None:
    """Train without the report, whose curves take four fifths of the time of so short a run."""
    known = [word for word in WORDS if not ("tokenizer=byte" in words and word.startswith("tokenizer"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "write_report", lambda *_, **__: None)
        assert train(compose("train", [*known, *words])) == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    (folder / "text.txt").write_text("".join(f"The {n}th line, and {n} more.\n" for n in range(900)))
    (folder / "other.txt").write_text("".join(f"The {n}th line, or {n} less!\n" for n in range(900)))
    (folder / "xx.txt").write_text("".join(f"xx {n} yy {n * n} zz\n" for n in range(900)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("run_dir=first", "max_steps=4")
    return folder


@pytest.fixture
def a(place, monkeypatch):
    """A copy of a run of four steps."""
    monkeypatch.chdir(place)
    shutil.copytree(place / "first", place / "a")
    yield RunFolder(place / "a")
    shutil.rmtree(place / "a")
    shutil.rmtree(place / "b", ignore_errors=True)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "log.txt")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


REFUSED = [
    (["seed=2"], "seed 1 -> 2"),
    (["seq_len=16"], "seq_len 32 -> 16"),
    (["global_batch_size=8"], "global_batch_size 4 -> 8"),
    (["train_sequences=9"], "train_sequences null -> 9"),
    (["model.n_layers=3"], "model.n_layers 1 -> 3"),
    (["model.n_heads=4", "model.qk_norm=false"], "model.n_heads 2 -> 4"),
    (["optimizer=adam"], "optimizer adamw -> adam"),
    (["optimizer=lion"], "optimizer adamw -> lion"),
    (["packing=best_fit"], "packing concat -> best_fit"),
    (["augmentation=token_noise"], "augmentation none -> token_noise"),
    (["loss=[focal]"], "loss.cross_entropy cross_entropy -> none"),
    (
        ["data.path=other.txt", "tokenizer.vocab_size=260"],
        "another tokenizer; data.path text.txt -> other.txt, tokenizer.vocab_size 300 -> 260",
    ),
    (["data.path=xx.txt"], "another tokenizer; data.path text.txt -> xx.txt: its tokens mean other text"),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("words", "said"), REFUSED, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_another_run_is_refused_before_anything_is_written(a, words, said):
    before = content(a.path)
    with pytest.raises(ConfigError) as error:
        run("run_dir=a", "resume=auto", "max_steps=6", *words)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith("a/checkpoints/step_00000004 was trained ")
    assert content(a.path) == before and not a.lock.exists()


@pytest.mark.heavy
def test_changed_rates_and_decay_take_effect_and_are_said(a):
    words = ["optimizer.lr=1e-5", "optimizer.weight_decay=10", "optimizer.betas=[0.5,0.6]", "regularizers=[z_loss]"]
    run("run_dir=a", "resume=auto", "max_steps=6", *words)
    assert [lr for _, lr in metric_series(a.metrics)["train/lr"]] == [1e-3] * 4 + [1e-5] * 2
    (group, others) = Checkpoint.open(a.checkpoints / "step_00000006").read()["optimizer_states"][0]["param_groups"]
    assert group["weight_decay"] == 10 and others["weight_decay"] == 0 and list(group["betas"]) == [0.5, 0.6]
    said = [
        line.partition("changed since the checkpoint, from here on: ")[2] for line in a.log.read_text().splitlines()
    ]
    for line in (
        "optimizer.lr 0.001 -> 1e-05", "optimizer.weight_decay 0.1 -> 10.0", "max_steps 4 -> 6",
        "optimizer.betas [0.9, 0.95] -> [0.5, 0.6]",
    ):  # fmt: skip
        assert line in said
    assert any(line.startswith("regularizers.z_loss.weight none -> ") for line in said)


@pytest.mark.heavy
def test_what_does_not_change_the_run_goes_on_to_the_same_bytes(a, place):
    """The text at another place, other devices' batches, other rhythm of the log: the weights are those without."""
    run("run_dir=b", "max_steps=6")
    shutil.copyfile("text.txt", "moved.txt")
    run("run_dir=a", "resume=auto", "max_steps=6", "data.path=moved.txt", "callbacks.checkpoints.keep_best=2")
    assert (place / "a/model/model.safetensors").read_bytes() == (place / "b/model/model.safetensors").read_bytes()


@pytest.mark.heavy
def test_other_text_of_the_same_tokenizer_needs_a_folder_of_its_own(a, place):
    tokenizer = ["tokenizer=byte"]
    run("run_dir=b", "max_steps=2", *tokenizer)
    before = content(place / "b")
    with pytest.raises(ConfigError, match=r"other data of the same tokenizer \(fingerprint .*data.path text.txt -> xx"):
        run("run_dir=b", "resume=auto", "max_steps=4", "data.path=xx.txt", *tokenizer)
    assert content(place / "b") == before
    try:
        run("run_dir=c", "resume=b/checkpoints/step_00000002", "max_steps=4", "data.path=xx.txt", *tokenizer)
        assert "the best of before does not count any more" in (place / "c" / "log.txt").read_text()
        assert [c.step for c in RunCheckpoints(place / "c" / "checkpoints").all()] == [4]
        with pytest.raises(ConfigError, match="seed 1 -> 2"):
            run("run_dir=d", "resume=b/checkpoints/step_00000002", "max_steps=4", "seed=2", *tokenizer)
        assert not (place / "d").exists()
    finally:
        shutil.rmtree(place / "c", ignore_errors=True)


@pytest.mark.heavy
def test_going_back_keeps_what_came_after(a):
    before = content(a.path)
    run("run_dir=a", f"resume={a.checkpoints / 'step_00000002'}", "max_steps=4", "optimizer.lr=1e-4")
    after = content(a.path)
    for name, data in before.items():
        if "step_00000004" in name:
            assert after[name.replace("step_00000004", "step_00000004.later")] == data
    assert after["metrics_until_00000004.csv"] == before["metrics.csv"]
    said = (
        "the run goes back to step 2: the checkpoints after it are put aside as step_00000004.later, the metrics until "
        "now as metrics_until_00000004.csv"
    )
    assert said in a.log.read_text()
    assert [lr for _, lr in metric_series(a.metrics)["train/lr"]] == [1e-3] * 2 + [1e-4] * 2


def test_checkpoints_without_their_config_are_a_run_all_the_same(a):
    a.config.unlink()
    before = content(a.path)
    with pytest.raises(ConfigError, match="already holds a run"):
        run("run_dir=a", "max_steps=2")
    assert content(a.path) == before


@pytest.mark.parametrize("resume", ["auto", "last", "best"])
def test_checkpoints_of_a_newer_format_are_not_trained_anew(a, resume, monkeypatch):
    from prospero.checkpoints import manifest

    newest = a.checkpoints / "step_00000004"
    monkeypatch.setattr(manifest, "FORMAT_VERSION", 3)
    facts = manifest.json.loads((newest / manifest.MANIFEST).read_text())
    files = facts.pop("files")
    (newest / manifest.MANIFEST).write_text(
        manifest.render({k: v for k, v in facts.items() if k not in ("sha256", "format_version")}, files)
    )
    monkeypatch.undo()
    monkeypatch.chdir(a.path.parent)
    before = content(a.path)
    with pytest.raises(DataError, match=r"step_00000004 is of format version 3; this Prospero reads 2; go on with"):
        run("run_dir=a", f"resume={resume}", "max_steps=6")
    assert content(a.path) == before


def test_settings_that_came_later_or_are_gone_are_no_change():
    config = compose("train", WORDS)
    from prospero.plain import plain

    settings = plain(config)
    then = plain(config)
    del then["trainer"]["test_sequences"], then["monitor"], then["optimizer"]["eps"]
    then["model"]["a_setting_of_before"] = 3
    settings["trainer"]["test_sequences"] = "auto"  # its default
    assert changes(then, part_names(config), config, settings) == []
    then["seed"] = 7
    assert changes(then, {}, config, settings) == [Change("seed", 7, 1)]
    assert changes(None, {}, config, settings) == []


@pytest.mark.heavy
def test_another_spelling_of_the_same_is_no_change():
    from prospero.plain import plain

    words = {True: ["blocks"], False: ["off"]}
    for before, same in words.items():
        for now in [*same, before]:
            config = compose("train", [*WORDS, f"trainer.compile={str(now).lower()}"])
            settings, then = plain(config), plain(config)
            then["trainer"]["compile"] = before
            assert changes(then, part_names(config), config, settings) == []
            assert changes(settings, part_names(config), config, then) == []  # nor the other way round
            then["trainer"]["compile"] = "whole"
            assert changes(then, part_names(config), config, settings) == [Change("trainer.compile", "whole", same[0])]
            then["trainer"]["compile"] = [3]
            assert changes(then, part_names(config), config, settings) == [Change("trainer.compile", [3], same[0])]


def test_every_pattern_of_the_list_names_a_setting():
    from fnmatch import filter as matching

    from prospero.plain import flat, plain

    config = compose(
        "train", [*WORDS, "logger=tensorboard", "regularizers=[l2]", "+trainer.lightning.limit_val_batches=1"]
    )
    names = [*flat(plain(config)), "schedule", "trainer.lightning"]
    assert [pattern for pattern in MAY_CHANGE if not matching(names, pattern)] == []
