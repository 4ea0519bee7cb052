"""DDP and FSDP2 for real, two processes over gloo: the same training as one process, and one kind of checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prospero.checkpoints.manifest import read_manifest
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.runs.metrics import metric_series

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


def train(
    folder: Path, strategy: str, micro_batch_size: int = 1, dropout: float = 0.0, resume: Path | str = ""
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    script = str(Path(__file__).with_name("two_processes.py"))
    command = [sys.executable, script, str(folder), strategy, str(micro_batch_size), str(dropout), str(resume)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("one"), "one", 4)


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
def test_two_processes_train_as_one(tmp_path, one, strategy):
    folder = train(tmp_path, strategy, micro_batch_size=1)  # two micro-steps each
    assert_same_training(folder, one)
    share = facts(folder)["held"] / facts(one)["held"]
    assert share == pytest.approx(0.5, abs=0.05) if strategy == "fsdp" else share == 1.0


def test_resume_on_two_processes_is_exact_with_dropout(tmp_path):
    whole = train(tmp_path / "whole", "fsdp", 1, dropout=0.2)
    train(tmp_path / "parts", "fsdp", 1, dropout=0.2, resume=whole / "checkpoints" / "step_00000002")
    a, b = torch.load(whole / "weights.pt"), torch.load(tmp_path / "parts" / "weights.pt")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_goes_on_with_other_strategies_and_numbers_of_processes(tmp_path, one):
    ddp = train(tmp_path / "ddp", "ddp", 1)
    fsdp = train(tmp_path / "fsdp", "fsdp", 2, resume=ddp / "checkpoints" / "step_00000002")
    alone = train(tmp_path / "one", "one", 4, resume=fsdp / "checkpoints" / "step_00000004")
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
