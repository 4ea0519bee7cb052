"""Whole runs of rollouts: killed and resumed bit for bit, and two processes as one."""

import pytest

from prospero.runs.metrics import metric_series
from tests.endurance.killing import Victim, after_rows, repeatable_metrics

pytestmark = pytest.mark.processes

STEPS = 12
SETTINGS = [
    "experiment=grpo_sum", "data.digits=1", "model.d_model=32", "global_batch_size=8",
    "rollouts.group_size=4", "rollouts.warmup_steps=2", "rollouts.warmup_until=null", "rollouts.updates_per_rollout=3",
    "loss.grpo.beta=0.1", "reward=[answer,length]", "reward.length.target=2", "trainer.log_every_steps=1",
    "trainer.num_threads=1", "callbacks=[checkpoints,evaluation]", "callbacks.evaluation.every_steps=6",
    "callbacks.checkpoints.every_steps=1", "callbacks.checkpoints.keep_last=2", f"max_steps={STEPS}",
]  # fmt: skip


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    place = tmp_path_factory.mktemp("rollouts")
    victim = Victim(SETTINGS, place, place / "calm")
    victim.live_to_the_end()
    return victim


def test_a_run_killed_between_rollouts_ends_as_if_it_had_not_been(calm):
    """Six rows are written: the third of three updates of a rollout is next, whose policy is gone."""
    killed = Victim(SETTINGS, calm.place, calm.place / "killed")
    assert killed.killed_when(after_rows(6))
    killed.live_to_the_end()
    rows = repeatable_metrics(calm.run_dir)
    assert repeatable_metrics(killed.run_dir) == rows and len(rows) >= STEPS
    assert any(float(row["train/reward/length"] or 0) > 0 for row in rows)
    assert any(float(row["train/grpo/kl"] or 0) > 0 for row in rows)
    weights = "model/model.safetensors"
    assert (killed.run_dir / weights).read_bytes() == (calm.run_dir / weights).read_bytes()


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_learn_as_one(calm, way, long_form):
    if not long_form:
        pytest.skip("only in the long form: pytest tests/training/rollouts --long")
    words = [*SETTINGS, f"trainer={way}", "trainer.accelerator=cpu", "trainer.devices=2"]
    one = Victim([*SETTINGS], calm.place, calm.place / f"one_{way}")
    two = Victim(words, calm.place, calm.place / way)
    for victim in (one, two):
        victim.live_to_the_end()
    ours, theirs = (metric_series(victim.run_dir / "metrics.csv") for victim in (two, one))
    for name in ("train/loss", "train/reward", "train/grpo/kl", "train/rollouts/tokens", "val/reward/total"):
        assert ours[name] == [(step, pytest.approx(value, rel=1e-5, abs=1e-6)) for step, value in theirs[name]], name
