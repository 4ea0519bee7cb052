"""The average of the weights: its arithmetic, what is evaluated with it, and that it survives a checkpoint."""

import pytest
import torch

from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.checkpoints import Checkpoints, CheckpointsConfig
from prospero.training.callbacks.ema import EMA, EMAConfig, put_average, restore
from tests.training.tiny import TinyData, tiny_module, tiny_trainer


def fit(folder, *, max_steps, resume=None, val_every_steps=50, **settings):
    module, ema = tiny_module(dropout=0.0, lr=0.3), EMA(EMAConfig(**settings))
    checkpoints = Checkpoints(CheckpointsConfig(every_steps=3, keep_last=9), RunFolder(folder))
    trainer = tiny_trainer(folder, max_steps=max_steps, callbacks=[ema, checkpoints], val_every_steps=val_every_steps)
    trainer.fit(module, datamodule=TinyData(), ckpt_path=resume)
    return module, ema, trainer


def test_it_follows_the_weights_from_its_start_on():
    model = torch.nn.Linear(1, 1, bias=False)
    ema = EMA(EMAConfig(decay=0.5, ramp=False, start_step=2))
    ema.weights = {"weight": torch.zeros(1, 1)}
    seen = []
    for step, value in enumerate([1.0, 2.0, 4.0, 8.0], start=1):
        torch.nn.init.constant_(model.weight, value)
        ema.update(model, step)
        seen.append(ema.weights["weight"].item())
    assert seen == [1.0, 2.0, 3.0, 5.5] and ema.updates == 2


def test_the_ramp_is_exact():
    config = EMAConfig(decay=0.9)
    assert [config.decay_after(n) for n in (0, 8, 10**6)] == [0.1, 0.5, 0.9]
    assert EMAConfig(decay=0.9, ramp=False).decay_after(0) == 0.9


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"decay": -0.1}, {"start_step": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"callbacks.ema.{next(iter(wrong))}"):
        EMAConfig(**wrong)


def test_validation_and_test_see_the_average_and_training_does_not(tmp_path):
    plain, _, _ = fit(tmp_path / "plain", max_steps=6, evaluate=False)
    module, ema, trainer = fit(tmp_path / "average", max_steps=6, val_every_steps=2)
    for ours, theirs in zip(module.model.parameters(), plain.model.parameters()):
        assert torch.equal(ours, theirs)
    validated = module.state.metrics["val/loss"]
    assert validated != plain.state.metrics["val/loss"]
    trainer.test(module, datamodule=TinyData(), verbose=False)
    assert module.state.metrics["test/loss"] == pytest.approx(validated, rel=1e-6)  # the same sequences
    put_average(module.model, ema.weights)
    ema.weights = {}
    trainer.validate(module, datamodule=TinyData(), verbose=False)
    assert module.state.metrics["val/loss"] == pytest.approx(validated, rel=1e-6)


def test_a_resumed_average_is_that_of_the_run_that_was_not_interrupted(tmp_path):
    module, whole, _ = fit(tmp_path / "whole", max_steps=8)
    saved = tmp_path / "whole" / "checkpoints" / "step_00000003"
    resumed, parts, trainer = fit(tmp_path / "parts", max_steps=8, resume=saved)
    assert whole.updates == parts.updates == 8
    for name, average in whole.weights.items():
        assert torch.equal(parts.weights[name], average)
        assert not torch.equal(average, dict(module.model.named_parameters())[name])
    trainer.test(resumed, datamodule=TinyData(), ckpt_path=saved, verbose=False)
    early = Checkpoint.open(saved).read(lazy=False)["ema"]
    assert early["updates"] == 3
    for name, average in early["weights"].items():
        assert torch.equal(parts.weights[name], average), "a test takes the average of the checkpoint it tests"


def test_the_average_of_another_model_is_refused():
    with pytest.raises(DataError, match=r"the average in the checkpoint is of another model: it differs in b"):
        restore({"a": torch.zeros(1)}, {"a": torch.ones(1), "b": torch.ones(1)})
