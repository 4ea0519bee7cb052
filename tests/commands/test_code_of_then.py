"""The code of a run as it was, out of a clone made here."""

import json
import subprocess
from dataclasses import replace

import pytest
import yaml

from prospero import compose
from prospero.commands import code_of_then as code
from prospero.configuration.compose import compose_file
from prospero.configuration.written import rerunnable
from prospero.errors import ConfigError
from prospero.runs.folder import RunFolder
from prospero.runs.repetition.surroundings import DIFF
from prospero.training.callbacks.repetition import RepetitionConfig


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of two commits, and a run of the first with a change."""
    place = tmp_path / "clone"
    (place / "src").mkdir(parents=True)
    git(place, "init", "-q")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    for text in ("first", "second"):
        (place / "src" / "a.py").write_text(f"{text}\n")
        git(place, "add", "-A")
        git(place, "commit", "-qm", text)
        if text == "first":
            (place / "src" / "a.py").write_text("first, changed\n")
            run.code_diff.write_text(git(place, "diff", "HEAD"))
            facts = {"git": {"commit": git(place, "rev-parse", "HEAD").strip(), "changed": True}}
            run.environment.write_text(json.dumps(facts))
    monkeypatch.setattr(code, "HERE", place / "src")
    return place, run


def test_the_commit_and_its_changes_are_there_for_a_while(clone):
    place, run = clone
    with code.code_of_then(run) as found:
        assert (found / "a.py").read_text() == "first, changed\n"
        assert (place / "src" / "a.py").read_text() == "second\n"
    assert not found.exists() and git(place, "worktree", "list").count("\n") == 1


def test_what_cannot_be_had_is_refused_and_leaves_no_checkout(clone):
    place, run = clone
    diff = run.code_diff.read_text()
    run.code_diff.write_text(diff.replace("-first", "-third"))
    with pytest.raises(ConfigError, match=r"code\.diff does not fit the commit"), code.code_of_then(run):
        pass
    assert git(place, "worktree", "list").count("\n") == 1
    run.environment.write_text(json.dumps({"git": {"commit": "0" * 40}}))
    with pytest.raises(ConfigError, match="this clone cannot check out the run's commit 000000000000"):
        code.code_of_then(run).__enter__()
    run.environment.write_text("{}")
    with pytest.raises(ConfigError, match="does not say of which commit"):
        code.code_of_then(run).__enter__()


def test_the_same_code_is_known_by_commit_and_changes(clone):
    _, run = clone
    facts = {**json.loads(run.environment.read_text()), DIFF: run.code_diff.read_text()}
    assert code.same_code(run, facts) is True
    assert code.same_code(run, {**facts, DIFF: ""}) is False
    assert code.same_code(run, {**facts, "git": {"commit": "another"}}) is False
    run.environment.write_text("{}")
    assert code.same_code(run, facts) is None


def test_only_what_is_other_is_written_into_the_configuration_of_then(tmp_path):
    words = ["model=tiny", "logger=tensorboard", "max_minutes=1", "name=a", "loss=distill", "loss.distill.teacher=last"]
    config = compose("train", words)
    file = tmp_path / "config.yaml"
    file.write_text(rerunnable(config))
    distill = replace(config.loss["distill"], teacher="/there")
    settings = replace(
        config,
        logger={},
        max_minutes=None,
        run_dir="again",
        loss={"distill": distill},
        trainer=replace(config.trainer, devices=2),
        callbacks={**config.callbacks, "repetition": RepetitionConfig(until_step=3)},
    )
    file.write_text(code.changed_text(file, config, settings))
    assert compose_file(file) == settings
    tree = yaml.safe_load(file.read_text())
    assert tree["model"]["n_layers"] == config.model.n_layers and "tensorboard" not in str(tree)
