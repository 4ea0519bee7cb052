"""Swept settings as W&B writes them, and what a sweep's YAML holds."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from prospero.configuration.swept import Choices, Numbers, chosen_from
from prospero.errors import ConfigError
from prospero.sweeps.wandb_sweep import Method, SweepPlan, parameter


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a=tiny,small", {"values": ["tiny", "small"]}),
        ("a=1,2.5,1e-3,007", {"values": [1, 2.5, 0.001, "007"]}),
        ("a=choice([l2,z_loss],[])", {"values": ["[l2,z_loss]", "[]"]}),
        ("a=true,null", {"values": ["True", "null"]}),
        ("a=range(1,10,3)", {"values": [1, 4, 7]}),
        ("a=range(10,1,-3)", {"values": [4, 7, 10]}),
        ("a=range(0.5,2,0.5)", {"values": [0.5, 1.0, 1.5]}),
        ("a=range(0,100000)", {"distribution": "q_uniform", "q": 1, "min": 0, "max": 99999}),
        ("a=interval(0,1)", {"distribution": "uniform", "min": 0.0, "max": 1.0}),
        ("a=interval(0.0,1)", {"distribution": "uniform", "min": 0.0, "max": 1.0}),
        ("a=int(interval(1,16))", {"distribution": "int_uniform", "min": 1, "max": 16}),
        ("a=tag(log,interval(1e-4,1e-2))", {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}),
        ("a=int(tag(log,interval(1,16)))", {"distribution": "q_log_uniform_values", "q": 1, "min": 1, "max": 16}),
    ],
)
def test_the_grammar_of_sweeps_becomes_distributions_of_wandb(word, expected):
    assert parameter(chosen_from(OverridesParser.create().parse_override(word))) == expected


def plan(**changed) -> SweepPlan:
    space = changed.pop("space", {"seed": Choices(("1", "2"))})
    usual = {"fixed": ["max_steps=5"], "program": ["train.py"], "metric": "val/loss", "goal": "minimize"}
    return SweepPlan(space=space, project="lab", **{**usual, **changed})


def test_the_yaml_of_a_grid():
    assert plan(name="seeds", entity="us", trials=2).yaml() == {
        "project": "lab",
        "entity": "us",
        "name": "seeds",
        "program": "train.py",
        "method": "grid",
        "run_cap": 2,
        "metric": {"name": "val/loss", "goal": "minimize"},
        "parameters": {"seed": {"values": [1, 2]}},
        "command": ["${env}", "${interpreter}", "train.py", "max_steps=5", "${args_no_hyphens}"],
    }


def test_what_has_no_list_of_values_is_searched():
    lr = {"optimizer.lr": Numbers(1e-4, 1e-2, False, True)}
    assert plan(space=lr).yaml()["method"] == "bayes"
    assert plan(space=lr, method=Method.random).yaml()["method"] == "random"
    with pytest.raises(ConfigError, match=r"method=grid: optimizer.lr has no list of values"):
        plan(space=lr, method=Method.grid).yaml()
