"""A step that is skipped changes nothing but the counters, whatever the optimiser, on the host or in a fused kernel."""

import math

import pytest
import torch

from prospero import registry
from prospero.runs.metrics import metric_series
from prospero.training.divergence import RollBack, TrainingDiverged
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_report import StepReports
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.loop import StepLoop
from tests.training.tiny import TinyData, tiny_module, tiny_trainer

OPTIMIZERS = {name: registry.config_class("optimizer", name)() for name in registry.names("optimizer")}


def spoil(module, steps, *, gradient_only=False):
    """Make the loss (or only the gradient) of some steps NaN."""
    inner, factor = module.training_step, math.nan

    def training_step(batch, batch_idx):
        loss = inner(batch, batch_idx)
        if module.step + 1 not in steps:
            return loss
        if gradient_only:
            loss.register_hook(lambda grad: grad * factor)
            return loss
        module.watch._losses[-1:] = [loss.detach() * factor]
        return loss * factor

    module.training_step = training_step


def state_of(module):
    optimizer = module.optimizers().optimizer
    values = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
    return [t.detach().clone() for t in [*module.model.parameters(), *values]]


class Remembers(StepLoop):
    """Keeps weights and optimiser state after every step."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            pl_module.kept = [*getattr(pl_module, "kept", []), state_of(pl_module)]


class Lagging(StepReports):
    """As on CUDA."""

    def __init__(self, device, world_size):
        super().__init__(device, world_size)
        self.lagging = True


def run(tmp_path, module, monkeypatch, *, micro_batch_size=4, max_steps=8):
    monkeypatch.setattr("prospero.training.trainer.StepLoop", Remembers)
    trainer = tiny_trainer(
        tmp_path,
        max_steps=max_steps,
        accumulate=4 // micro_batch_size,
        loggers=[MetricsFile(tmp_path)],
        val_every_steps=0,
    )
    trainer.fit(module, datamodule=TinyData(micro_batch_size=micro_batch_size))
    return module


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_and_optimiser_stay_and_the_step_counts(tmp_path, name, gradient_only, monkeypatch):
    module = tiny_module()
    module.how.optimizer = OPTIMIZERS[name]
    spoil(module, {3, 6}, gradient_only=gradient_only)
    run(tmp_path, module, monkeypatch, micro_batch_size=2)
    same = [all(torch.equal(a, b) for a, b in zip(x, y)) for x, y in zip(module.kept, module.kept[1:])]
    assert same == [False, True, False, False, True, False, False]
    assert module.step == 8 and module.state.sequences == 32 and module.watch.guard.skipped == 2
    series = metric_series(tmp_path / "metrics.csv")
    assert [int(value) for _, value in series["train/skipped_steps"]] == [0, 0, 1, 1, 1, 2, 2, 2]
    assert [value for _, value in series["train/lr"]][4] < [value for _, value in series["train/lr"]][1]


def test_a_fused_kernel_skips_on_the_device_and_the_host_reads_a_step_later(tmp_path, monkeypatch):
    module = tiny_module(guards=GuardsConfig(max_skipped_in_row=2))
    module.how.optimizer = OPTIMIZERS["adamw"]
    spoil(module, {3, 6, 7})
    monkeypatch.setattr("prospero.training.guards.step_watch.StepReports", Lagging)
    with pytest.raises(RollBack, match="2 times in a row at step 7"):
        run(tmp_path, module, monkeypatch, max_steps=12)
    same = [all(torch.equal(a, b) for a, b in zip(x, y)) for x, y in zip(module.kept, module.kept[1:])]
    assert same == [False, True, False, False, True, True]
    assert module.step == 8


def test_without_the_guard_nothing_is_judged(tmp_path, monkeypatch):
    module = tiny_module(guards=GuardsConfig(enabled=False))
    spoil(module, {3})
    with pytest.raises(TrainingDiverged, match="val/loss is not finite at step 4"):
        run(tmp_path, module, monkeypatch, max_steps=4)
    assert module.watch.guard.skipped == 0 and not torch.isfinite(module.kept[-1][0]).all()
