"""The training step, what it logs and what it refuses."""

import math
import shutil

import pytest
import torch

from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.training.callbacks.checkpoints import Checkpoints, CheckpointsConfig
from prospero.training.divergence import RollBack, TrainingDiverged
from prospero.training.loggers.metrics_file import MetricsFile
from tests.endurance.killing import repeatable_metrics
from tests.training.tiny import TinyData, tiny_module, tiny_trainer


def weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.model.parameters()])


def run(tmp_path, *, micro_batch_size=4, ckpt_path=None, max_steps=12, module=None, **settings):
    module = module or tiny_module(dropout=settings.pop("dropout", 0.1))
    data = TinyData(micro_batch_size=micro_batch_size)
    checkpoints = Checkpoints(CheckpointsConfig(every_steps=1, keep_last=100), RunFolder(tmp_path))
    trainer = tiny_trainer(
        tmp_path,
        max_steps=max_steps,
        accumulate=4 // micro_batch_size,
        loggers=[MetricsFile(tmp_path)],
        callbacks=[checkpoints, *settings.pop("callbacks", [])],
        **settings,
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module, data


def test_every_step_is_logged_once_and_validated_where_asked(tmp_path):
    module, data = run(tmp_path)
    series = metric_series(tmp_path / "metrics.csv")
    assert [step for step, _ in series["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in series["val/loss"]] == [5, 10, 12]
    assert [value for _, value in series["tokens"]] == [24.0 * k for k in range(1, 13)]
    assert data.consumed_sequences == 48 == module.state.sequences
    assert series["train/loss"][-1][1] < series["train/loss"][0][1]
    assert module.state.stop_reason == "max_steps"


def test_val_loss_is_the_mean_over_targets_and_bits_follow(tmp_path):
    module, _ = run(tmp_path)
    from tests.training.tiny import Validation

    data = TinyData()
    data.trainer = module.trainer
    with torch.no_grad():
        nats, targets = 0.0, 0
        for batch in Validation(data):
            logits = module.model.eval()(batch.inputs["input_ids"]).logits
            nats += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), batch.labels.flatten(), reduction="sum"
            ).item()
            targets += int((batch.labels != -100).sum())
    assert module.state.metrics["val/loss"] == pytest.approx(nats / targets, rel=1e-5)
    assert module.state.metrics["val/perplexity"] == pytest.approx(math.exp(nats / targets), rel=1e-5)
    assert module.state.metrics["val/bits_per_byte"] == pytest.approx(nats / targets / math.log(2), rel=1e-5)


@pytest.mark.heavy
@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_accumulation_does_not_change_the_training(tmp_path, micro_batch_size):
    whole, _ = run(tmp_path / "whole", dropout=0.0)
    parts, _ = run(tmp_path / "parts", micro_batch_size=micro_batch_size, dropout=0.0)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-5, atol=1e-6)
    a = metric_series(tmp_path / "whole" / "metrics.csv")
    b = metric_series(tmp_path / "parts" / "metrics.csv")
    for name in ("train/loss", "train/grad_norm", "val/loss"):
        assert [v for _, v in a[name]] == pytest.approx([v for _, v in b[name]], rel=1e-5), name


@pytest.fixture(scope="module", params=[4, 2])
def whole(request, tmp_path_factory):
    """A run that nothing interrupts: its micro-batch, its module and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    module, _ = run(folder, micro_batch_size=request.param)
    return request.param, module, folder


@pytest.mark.heavy
@pytest.mark.parametrize("stopped_at", [3, 5, 9])  # 5 is a validation step
def test_a_resumed_run_equals_the_whole_one_bit_for_bit(tmp_path, stopped_at, whole):
    micro_batch_size, uninterrupted, folder = whole
    shutil.copytree(folder, tmp_path / "parts")  # as if killed later: rows and files after the step are stale
    path = tmp_path / "parts" / "checkpoints" / f"step_{stopped_at:08d}"
    resumed, data = run(tmp_path / "parts", micro_batch_size=micro_batch_size, ckpt_path=path)
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert data.consumed_sequences == 48
    assert repeatable_metrics(tmp_path / "parts") == repeatable_metrics(folder)


@pytest.mark.heavy
def test_a_run_is_repeatable_and_its_seed_matters(tmp_path):
    one, _ = run(tmp_path / "1")
    two, _ = run(tmp_path / "2")
    other, _ = run(tmp_path / "3", module=tiny_module(seed=4))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


class Poison(torch.nn.Module):
    """Makes the hidden state NaN from one step on."""

    def __init__(self, module, step):
        super().__init__()
        self.owner, self.step = [module], step

    def forward(self, x):
        return x * float("nan") if self.owner[0].step >= self.step else x


def test_a_nan_ends_the_run_by_name_and_the_good_checkpoint_stays(tmp_path):
    module = tiny_module()
    module.model.dropout = Poison(module, 6)
    with pytest.raises(RollBack, match="the loss is not finite 5 times in a row at step 11"):
        run(tmp_path, module=module, val_every_steps=0)
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith("step_"))
    assert len(files) == 10  # skipped steps leave good weights
    assert torch.isfinite(weights(module)).all()


def test_a_loss_that_goes_out_of_range_at_the_last_step_is_not_called_finished(tmp_path):
    module = tiny_module()
    module.model.dropout = Poison(module, 12)  # training never sees it, the final validation does
    with pytest.raises(TrainingDiverged, match="val/loss is not finite at step 12"):
        run(tmp_path, module=module)
    assert module.state.stop_reason.startswith("TrainingDiverged")


def test_gradients_do_not_outlive_the_step(tmp_path):
    module, _ = run(tmp_path)
    assert all(p.grad is None for p in module.model.parameters())


def test_test_metrics(tmp_path):
    module, data = run(tmp_path, max_steps=2)
    module.trainer.test(module, datamodule=data, verbose=False)
    assert module.state.metrics["test/loss"] == pytest.approx(module.state.metrics["val/loss"])
