"""`prospero show`: one run on a page of the terminal."""

import json
import os
import time

import pytest
from tests.runs.fakes import RESULT, make_run

from prospero import cli
from prospero.commands.show import ShowConfig, changes, show
from prospero.errors import ConfigError
from prospero.processes.run_lock import RunLock
from prospero.runs.overview import read_settings


def shown(capsys, **settings: str) -> str:
    assert show(ShowConfig(**settings)) == 0
    return capsys.readouterr().out


def section(text: str, title: str) -> list[str]:
    """The lines of a section."""
    block = next(block for block in text.split("\n\n") if block.startswith(title))
    return [line.strip() for line in block.splitlines()[1:]]


def test_a_finished_run(tmp_path, capsys):
    folder = make_run(tmp_path / "train" / "my 'run'", begun=time.time() - 7200)
    (folder / "environment.json").write_text(
        json.dumps({"command_line": ["train.py", "a b=1"], "git": {"commit": "f" * 40}})
    )
    text = shown(capsys, run="last", outputs_dir=str(tmp_path))
    assert text.startswith("my 'run': done, 300 steps, 2m of training, began 2.0h ago\n")
    assert "python train.py 'a b=1'" in text and f"commit {'f' * 12}\n" in text
    assert "model     transformer, 2,164,928 parameters" in text
    assert "val       loss 2.5  bits per byte 1.25" in section(text, "numbers")
    assert "tokens    4,096 trained on" in section(text, "numbers")
    assert "metrics.csv Every number, by step and tokens." in [
        " ".join(line.split()) for line in section(text, "files")
    ]
    quoted = f"'run={folder}'".replace("'run'", "'\"'\"'run'\"'\"'")
    assert f"python generate.py {quoted} 'prompt=The '" in section(text, "go on")
    assert not [line for line in section(text, "go on") if "resume=auto" in line]


def test_settings_that_differ(tmp_path):
    pytest.importorskip("yaml")
    from prospero.configuration.default_settings import default_settings

    defaults = default_settings("train")
    assert defaults["model"] == "transformer" and defaults["model.n_layers"] == 4 and defaults["monitor"] == "val/loss"
    settings = read_settings(make_run(tmp_path / "a", lr="0.5", n_layers=4) / "config.yaml")
    of_same = {name: value for name, value in settings.items() if name in ("model", "model.n_layers", "optimizer.lr")}
    known = {name: defaults[name] for name in ("model", "model.n_layers", "optimizer.lr")}
    assert changes(of_same, known) == [("optimizer.lr", 0.5, 0.02)]
    found = changes({"model": "lstm", "model.n_layers": 9, "model.d_model": 256, "new": 1, "gone": None}, known)
    assert found[0] == ("model", "lstm", "transformer")
    assert ("model.n_layers", 9, 2) in found and ("new", 1, "no setting of this version") in found
    assert not [name for name, *_ in found if name == "gone"]


def test_members_of_a_group_that_the_defaults_do_not_choose_are_compared_with_themselves():
    settings = {"callbacks": "checkpoints,ema", "callbacks.ema.decay": 0.5, "callbacks.checkpoints.keep_last": 1}
    defaults = {"callbacks": "checkpoints", "callbacks.checkpoints.keep_last": 1}
    assert changes(settings, defaults)[0] == ("callbacks", "checkpoints,ema", "checkpoints")
    assert [name for name, *_ in changes(settings, defaults)] == ["callbacks", "callbacks.ema.decay"]


def test_how_to_go_on_depends_on_how_it_stands(tmp_path, capsys):
    folder = make_run(tmp_path / "train" / "a", result=None)
    command = f"python train.py --config-dir {folder} --config-name config run_dir={folder} resume=auto"
    assert command in section(shown(capsys, run=str(folder)), "go on")
    with RunLock(folder).take():
        lines = section(shown(capsys, run=str(folder)), "go on")
    assert f"touch {folder / 'STOP'}" in lines and command not in lines
    (folder / "result.json").write_text(json.dumps(RESULT | {"status": "STOPPED"}))
    assert command in section(shown(capsys, run=str(folder)), "go on")


def test_damage_is_said_and_steers_no_terminal(tmp_path, capsys):
    folder = make_run(tmp_path / "train" / "a\x1b[31m<b>")
    for name in ("environment.json", "receipt.json", "init_from.json"):
        (folder / name).write_text('{"source": 3, "a')
    (folder / "config.yaml").write_text("a: [1")
    text = shown(capsys, run=str(folder))
    assert "\x1b" not in text and text.startswith(r"a\x1b[31m<b>: damaged, ")
    assert "config.yaml cannot be read: no YAML at line" in text and "settings that differ" not in text
    (folder / "receipt.json").write_text('{"source": 3}')
    assert "receipt.json is damaged, or of another version" in shown(capsys, run=str(folder))


def test_what_is_no_run(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no run: there is no config\.yaml in it"):
        show(ShowConfig(run=str(tmp_path)))
    with pytest.raises(ConfigError, match="There is no trained run in"):
        show(ShowConfig(run="last", outputs_dir=str(tmp_path)))
    with pytest.raises(ConfigError, match="run= is empty"):
        ShowConfig(run=" ")


def test_the_first_word_is_the_run_and_batch_is_a_verb_of_its_own(tmp_path, capsys, monkeypatch):
    make_run(tmp_path / "outputs" / "train" / "mine")
    monkeypatch.chdir(tmp_path)
    assert cli.run("show", ["mine"]) == 0 and capsys.readouterr().out.startswith("mine: done")
    seen = []
    monkeypatch.setattr(cli, "_function", lambda verb: lambda config: seen.append((verb, type(config).__name__)))
    cli.run("show", ["batch", "step=2"])
    cli.run("show", ["run=batch"])
    assert seen == [("show_batch", "ShowBatchConfig"), ("show", "ShowConfig")]
    assert os.listdir(tmp_path) == ["outputs"]
