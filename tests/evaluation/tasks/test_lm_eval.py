"""The settings of the harness's tasks: what is refused before it is loaded."""

import sys

import pytest

from prospero.configuration.compose import compose
from prospero.errors import ConfigError
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.lm_eval import LMEvalConfig


def test_what_cannot_be_is_refused(tmp_path):
    for settings, said in [
        ({"tasks": ["a", " "]}, "holds an empty name"),
        ({"num_fewshot": -1}, "num_fewshot=-1 is impossible"),
        ({"limit": 0}, "limit=0 measures nothing"),
    ]:
        with pytest.raises(ConfigError, match=said):
            LMEvalConfig(**settings)
    with pytest.raises(ConfigError, match=r"names no task of the harness; write tasks=\[lm_eval:arc_easy\]"):
        LMEvalConfig().build("lm_eval", TaskFacts())
    with pytest.raises(ConfigError, match=r"gone\.yaml\]: there is no such file"):
        LMEvalConfig(tasks=[str(tmp_path / "gone.yaml")]).build("lm_eval", TaskFacts())
    with pytest.raises(ConfigError, match="include_path=gone is no folder"):
        LMEvalConfig(tasks=["a"], include_path="gone").build("lm_eval", TaskFacts())


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ConfigError, match=r"needs lm-evaluation-harness: pip install 'prospero\[lm_eval\]'"):
        LMEvalConfig(tasks=["arc_easy"]).build("lm_eval", TaskFacts())


def test_the_short_spelling_composes():
    config = compose("evaluate", ["tasks=[text,lm_eval:arc_easy,lm_eval:./my task.yaml]", "tasks.lm_eval.limit=3"])
    assert list(config.tasks) == ["text", "lm_eval"]
    assert config.tasks["lm_eval"] == LMEvalConfig(tasks=["arc_easy", "./my task.yaml"], limit=3)
