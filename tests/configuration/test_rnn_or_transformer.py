"""The sweep of an LSTM against a Transformer: models of one size, by three budgets, the same data."""

import csv
import json
import sys

import pytest
import torch

from prospero import cli
from prospero.configuration import composition
from prospero.configuration.compose import compose
from prospero.model.size import count_parameters, flops_per_token
from prospero.training.bounds import max_steps

PRESET = "experiment=rnn_or_transformer"
PROGRAM = """
import json, pathlib, sys
words = dict(word.lstrip("+").split("=", 1) for word in sys.argv[1:])
folder, lstm = pathlib.Path(words["run_dir"].strip("'")), words["model"] == "lstm"
(folder / "words.json").write_text(json.dumps(words))
loss = 2.0 + lstm + int(words["seed"]) / 100
result = {"objective": loss, "objective_name": "val/loss", "val/loss": loss, "status": "DONE"}
(folder / "result.json").write_text(json.dumps(result))
"""


def sweeper():
    composition.register()
    return composition.composed("train", [PRESET], with_hydra=True).hydra.sweeper


@pytest.mark.heavy
def test_the_models_are_of_one_size_and_differ_in_what_a_token_takes():
    names = sweeper().params["model"].split(",")
    configs = {name: compose("train", [f"model={name}", "max_flops=1.2e13"]) for name in names}
    with torch.device("meta"):
        models = {name: c.model.build(c.tokenizer.vocab_size, c.seq_len) for name, c in configs.items()}
    sizes = [count_parameters(model).total for model in models.values()]
    assert max(sizes) / min(sizes) < 1.02
    flops = {name: flops_per_token(model, configs[name].seq_len) for name, model in models.items()}
    steps = {name: max_steps(configs[name], flops[name]) for name in names}
    spent = {name: steps[name] * flops[name] * 16 * 256 for name in names}
    assert steps["lstm"] > steps["small"] and max(spent.values()) / min(spent.values()) < 1.01


def test_a_job_of_the_sweep_is_no_sweep(monkeypatch):
    composition.register()
    assert composition.one_job("train", [PRESET]) is None
    monkeypatch.setenv("PROSPERO_SWEEP", "s")
    assert composition.one_job("train", [PRESET, "max_tokens=9"]).max_tokens == 9


@pytest.mark.processes
def test_the_preset_alone_starts_the_sweep_of_all_budgets_and_seeds(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(PROGRAM)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main("train", [PRESET, "hydra.sweep.dir=s"])
    said = capsys.readouterr().out
    assert left.value.code == 0 and "sweep of 18 jobs" in said
    jobs = [json.loads(path.read_text()) for path in (tmp_path / "s").glob("*/words.json")]
    budgets = {
        name: {word[name] for word in jobs if name in word} for name in ("max_tokens", "max_flops", "max_minutes")
    }
    assert budgets == {"max_tokens": {"1000000"}, "max_flops": {"1.2e13"}, "max_minutes": {"2"}}
    assert all(sum(name in job for name in budgets) == 1 for job in jobs)
    with open(tmp_path / "s" / "sweep_means.csv", newline="") as file:
        means = list(csv.DictReader(file))
    assert [row["model"] for row in means] == ["small"] * 3 + ["lstm"] * 3 and {row["seeds"] for row in means} == {"3"}
