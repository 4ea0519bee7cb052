"""A configuration names no code and does not move Hydra's machinery; other programs' Hydra is left alone."""

import logging
import sys

import pytest
from hydra import compose, initialize_config_dir

from prospero import cli
from prospero.configuration import composition
from prospero.errors import ConfigError
from tests.grids import grid


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """`--info` has Hydra configure the root logger for the rest of the process."""
    root, hydra = logging.getLogger(), logging.getLogger("hydra")
    before = root.handlers[:], root.level, hydra.level
    yield
    root.handlers[:], root.level, hydra.level = before


def refused(words, capsys, verb="train"):
    with pytest.raises(SystemExit) as left:
        cli.main(verb, list(words))
    errors = capsys.readouterr().err
    assert left.value.code == 2 and errors.startswith("error: ") and errors.count("\n") == 1, errors  # one line
    return errors


WITHOUT_EFFECT = [
    "run: {dir: elsewhere}", "output_subdir: .hydra", "verbose: true", "job: {chdir: true}", "job: {env_set: {A: b}}",
    "job: {env_copy: [HOME]}", "sweep: {subdir: x}", "callbacks: {x: {y: 1}}",
    "job_logging: {version: 1, root: {handlers: [f]}, handlers: {f: {class: logging.FileHandler, filename: victim}}}",
]  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("setting", "multirun"),
    grid(
        [(setting, multirun) for setting in WITHOUT_EFFECT for multirun in (False, True)],
        always=lambda case: not case[1] or case[0] in (WITHOUT_EFFECT[0], WITHOUT_EFFECT[-1]),
    ),
)
def test_what_only_moves_hydra_is_refused(setting, multirun, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "config.yaml").write_text(f"defaults: [train, _self_]\nhydra:\n  {setting}\n")
    options = ["--config-dir", ".", "--config-name", "config", *(["-m"] if multirun else [])]
    said = refused([*options, "seed=1"], capsys)
    assert f"hydra.{setting.partition(':')[0]}" in said and "has no effect in Prospero and is not allowed" in said
    assert (tmp_path / "victim").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "victim"]


ASKED = [[], ["--cfg", "job"], ["--info", "defaults"], ["-m"], ["--help"]]


@pytest.mark.parametrize(
    ("place", "asked"),
    grid(
        [(place, asked) for place in ("pkg://a_module_to_import", "structured://x") for asked in ASKED],
        always=lambda case: case[0].startswith("pkg") or case[1] == [],
    ),
)
def test_a_search_path_names_folders_only(place, asked, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_module_to_import.py").write_text("raise SystemExit('imported')")
    (tmp_path / "config.yaml").write_text(f"hydra: {{searchpath: ['{place}']}}\ndefaults: [train]\n")
    said = refused(["--config-dir", ".", "--config-name", "config", *asked], capsys)
    assert f"hydra.searchpath={place} is not allowed" in said and "a_module_to_import" not in sys.modules


def test_a_folder_in_the_search_path_is_read(tmp_path):
    (tmp_path / "presets" / "model").mkdir(parents=True)
    (tmp_path / "presets" / "model" / "mine.yaml").write_text("defaults: [tiny]\nn_layers: 7\n")
    composition.register()
    cfg = composition.composed("train", ["model=mine", f"hydra.searchpath=[{tmp_path}/presets]"])
    assert cfg.model.n_layers == 7


def test_a_launcher_of_one_process_is_refused(capsys):
    assert "use hydra/launcher=process" in refused(["hydra/launcher=basic", "hydra/sweeper=basic", "-m"], capsys)


def test_another_programs_hydra_is_left_alone(tmp_path):
    composition.register()
    (tmp_path / "app.yaml").write_text("x: {_target_: a.b}\nhydra: {run: {dir: there}, verbose: true}\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        cfg = compose("app", return_hydra_config=True)
    assert cfg.x._target_ == "a.b" and cfg.hydra.run.dir == "there"


def test_not_a_number_is_no_value(tmp_path):
    from prospero.configuration.compose import compose as settings

    with pytest.raises(ConfigError, match=r"^sampling\.temperature=nan is not a number$"):
        settings("generate", ["sampling.temperature=nan"])
