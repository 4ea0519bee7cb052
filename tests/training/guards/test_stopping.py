"""Signals and the STOP file, within one process: what is saved, what is left out, and how the run goes on."""

import os
import signal

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from prospero.runs.metrics import metric_series
from prospero.training.callbacks.checkpoints import CheckpointsConfig
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.run_facts import RunFacts
from tests.training.tiny import TinyData, tiny_module, tiny_trainer


class Does(Callback):
    """Calls `action` at the second batch of the validation after `step`, or before that step."""

    def __init__(self, action, *, step, in_validation):
        self.action, self.step, self.in_validation = action, step, in_validation
        self.validation_ends = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if not self.in_validation and batch_idx + 1 == self.step:
            self.action()

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.in_validation and trainer.global_step == self.step and batch_idx == 1:
            self.action()

    def on_validation_end(self, trainer, pl_module):
        self.validation_ends += 1


def fit(tmp_path, *callbacks, resume=None, micro_batch_size=4):
    module = tiny_module()
    trainer = tiny_trainer(
        tmp_path, callbacks=[*callbacks, CheckpointsConfig().build(RunFacts(run_dir=tmp_path))],
        loggers=[MetricsFile(tmp_path)], accumulate=4 // micro_batch_size,
    )  # fmt: skip
    trainer.fit(module, datamodule=TinyData(micro_batch_size=micro_batch_size), ckpt_path=resume)
    return module


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters()))


def series(folder):
    found = metric_series(folder / "metrics.csv")
    return {name: values for name, values in found.items() if "checkpoint" not in name}


@pytest.mark.heavy
@pytest.mark.parametrize("micro_batch_size", [4, 2])
@pytest.mark.parametrize("in_validation", [True, False])
def test_a_signal_in_or_before_a_validation_leaves_it_to_the_run_that_goes_on(
    tmp_path, in_validation, micro_batch_size
):
    sends = Does(lambda: os.kill(os.getpid(), signal.SIGUSR1), step=5, in_validation=in_validation)
    if not in_validation:
        sends.step = 5 * (4 // micro_batch_size)  # counted in micro-steps
    module = fit(tmp_path / "parts", sends, micro_batch_size=micro_batch_size)
    assert module.step == 5 and module.state.stop_reason == "interrupted by SIGUSR1" and module.state.validation_pending
    assert module.state.exit_code == 128 + signal.SIGUSR1
    assert "val/loss" not in series(tmp_path / "parts") and sends.validation_ends == 0
    resumed = fit(
        tmp_path / "parts",
        resume=tmp_path / "parts" / "checkpoints" / "step_00000005",
        micro_batch_size=micro_batch_size,
    )
    whole = fit(tmp_path / "whole", micro_batch_size=micro_batch_size)
    assert same(resumed, whole)
    assert series(tmp_path / "parts") == series(tmp_path / "whole")


def test_a_stop_file_ends_the_run_as_a_signal_does_but_with_0(tmp_path, monkeypatch):
    monkeypatch.setattr("prospero.training.stopping.STOP_FILE_CHECKED_EVERY_SECONDS", 0.0)
    module = fit(tmp_path, Does((tmp_path / "STOP").touch, step=4, in_validation=False))
    assert module.step == 4 and module.state.stop_reason == "STOP file" and module.state.stopping_to_resume
    assert module.state.exit_code == 0
    assert not (tmp_path / "STOP").exists()
    assert (tmp_path / "checkpoints" / "step_00000004").is_dir()


def test_a_stop_file_of_another_time_is_removed(tmp_path):
    (tmp_path / "STOP").touch()
    assert fit(tmp_path).step == 12
    assert not (tmp_path / "STOP").exists()
