"""DDP and FSDP2 for real, two processes over gloo: the same training as one process, and one kind of checkpoint."""

import json
from pathlib import Path

import pytest
import torch

from prospero.checkpoints.manifest import read_manifest
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.runs.metrics import metric_series
from tests.ranks import run_ranks
from tests.training.two_processes import train

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder of runs: `one` of this process, the others of one pair, one after the other."""
    folder = tmp_path_factory.mktemp("strategies")
    train(str(folder / "one"), "one", 4)
    jobs = [
        {"out": "ddp", "strategy": "ddp", "micro_batch_size": 1},  # two micro-steps each
        {"out": "fsdp", "strategy": "fsdp", "micro_batch_size": 1},
        {"out": "whole", "strategy": "fsdp", "micro_batch_size": 1, "dropout": 0.2},
        {"out": "parts", "strategy": "fsdp", "micro_batch_size": 1, "dropout": 0.2, "resume": "whole/step_00000002"},
        {"out": "changed", "strategy": "fsdp", "micro_batch_size": 2, "resume": "ddp/step_00000002"},
    ]
    for job in jobs:
        job["out"] = str(folder / str(job["out"]))
        run, _, step = str(job.get("resume", "")).partition("/")
        job["resume"] = str(folder / run / "checkpoints" / step) if step else ""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    run_ranks(Path(__file__).with_name("two_processes.py"), str(folder / "jobs.json"))
    return folder


def facts(folder: Path) -> dict:
    return json.loads((folder / "facts.json").read_text())


def assert_same_training(folder: Path, reference: Path) -> None:
    ours, theirs = metric_series(folder / "metrics.csv"), metric_series(reference / "metrics.csv")
    assert ours.keys() == theirs.keys()
    for name in (name for name in ours if not name.startswith("train/checkpoint_")):
        assert [step for step, _ in ours[name]] == [step for step, _ in theirs[name]], name
        assert [v for _, v in ours[name]] == pytest.approx([v for _, v in theirs[name]], rel=1e-5), name
    a, b = torch.load(folder / "weights.pt"), torch.load(reference / "weights.pt")
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_as_one(runs, strategy):
    assert_same_training(runs / strategy, runs / "one")
    share = facts(runs / strategy)["held"] / facts(runs / "one")["held"]
    assert share == pytest.approx(0.5, abs=0.05) if strategy == "fsdp" else share == 1.0


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "changed"])
def test_the_gradients_that_checkpoints_keep_are_those_of_one_process(runs, strategy):
    ours, theirs = (Checkpoint.open(runs / name / "checkpoints" / "step_00000004") for name in (strategy, "one"))
    ours, theirs = ours.gradients(), theirs.gradients()
    assert ours is not None and theirs is not None and ours.keys() == theirs.keys() and "blocks.0.0.weight" in ours
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name].whole(), gradient.whole(), rtol=1e-4, atol=1e-6)


def test_resume_on_two_processes_is_exact_with_dropout(runs):
    a, b = (torch.load(runs / name / "weights.pt") for name in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_goes_on_with_other_strategies_and_numbers_of_processes(tmp_path, runs):
    fsdp = runs / "changed"  # began under ddp
    alone = train(str(tmp_path / "one"), "one", 4, resume=str(fsdp / "checkpoints" / "step_00000004"))
    one = runs / "one"
    last, whole = (Checkpoint.open(run / "checkpoints" / "step_00000006").read(lazy=False) for run in (alone, one))
    assert last["optimizer_states"][0]["param_groups"] == whole["optimizer_states"][0]["param_groups"]
    for part in (
        lambda checkpoint: checkpoint["state_dict"],
        lambda checkpoint: checkpoint["optimizer_states"][0]["state"],
        lambda checkpoint: checkpoint["prospero"]["objective"],
    ):
        torch.testing.assert_close(part(last), part(whole), rtol=1e-5, atol=1e-6)
    names = sorted(path.name for path in (fsdp / "checkpoints" / "step_00000004").iterdir())
    parts = [f"tensors_0000{rank}_of_00002.safetensors" for rank in range(2)]
    assert names == ["manifest.json", "state.json", *parts]
    manifest = read_manifest(fsdp / "checkpoints" / "step_00000004")
    sizes = [manifest["files"][name]["bytes"] for name in parts]
    assert max(sizes) < 1.5 * min(sizes), "each process writes its half"
