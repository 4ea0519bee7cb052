"""What the callback `vitals` writes, by hand."""

import pytest
import torch
from torch import nn

from prospero.runs.metrics import metric_series
from prospero.training.callbacks.checkpoints import CheckpointsConfig
from prospero.training.callbacks.vitals import Vitals, watched_matrices
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.run_facts import RunFacts
from tests.training.tiny import TinyData, TinyModel, collate, sequence, tiny_module, tiny_trainer


def run(tmp_path, *, accumulate=1, **settings):
    vitals = Vitals(16)
    module = tiny_module(dropout=0.0)
    trainer = tiny_trainer(
        tmp_path, max_steps=6, accumulate=accumulate, callbacks=[vitals], loggers=[MetricsFile(tmp_path)], **settings
    )
    trainer.fit(module, datamodule=TinyData(micro_batch_size=4 // accumulate))
    return metric_series(tmp_path / "metrics.csv"), module


def test_growth_and_steps_of_the_weights(tmp_path):
    series, module = run(tmp_path)
    start = tiny_module(dropout=0.0).model
    ratios = sorted(
        float(now.detach().square().mean().sqrt() / then.detach().square().mean().sqrt())
        for now, then in zip(watched_matrices(module.model, 16), watched_matrices(start, 16))
    )
    assert series["train/weight_growth"][-1] == (6, pytest.approx(ratios[1], rel=1e-5))  # the median of three
    assert [step for step, _ in series["train/update_ratio"]] == [1, 2, 3, 4, 5, 6]
    assert all(0 < value < 0.5 for _, value in series["train/update_ratio"])


def test_the_ratio_of_the_first_step_is_rate_times_gradient_over_weights(tmp_path):
    series, _ = run(tmp_path, max_grad_norm=None)
    module = tiny_module(dropout=0.0)
    batch = collate([sequence(i) for i in range(4)])
    loss = nn.functional.cross_entropy(
        module.model(batch.inputs["input_ids"]).logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100
    )
    loss.backward()
    found = []
    for p in watched_matrices(module.model, 16):
        assert p.grad is not None
        after = p.detach() - 0.1 * p.grad
        found.append(float((0.1 * p.grad).square().mean().sqrt() / after.square().mean().sqrt()))
    assert series["train/update_ratio"][0][1] == pytest.approx(sorted(found)[1], rel=1e-4)


def test_the_largest_loss_between_two_rows(tmp_path):
    every, _ = run(tmp_path / "each")
    series, _ = run(tmp_path / "third", log_every_steps=3)
    losses = dict(every["train/loss"])
    assert dict(every["train/loss_max"]) == losses
    assert dict(series["train/loss_max"]) == {
        1: losses[1], 3: max(losses[2], losses[3]), 6: max(losses[4], losses[5], losses[6])
    }  # fmt: skip


def test_the_gradient_of_the_first_micro_batch(tmp_path):
    series, _ = run(tmp_path, accumulate=2)
    assert [step for step, _ in series["train/micro_grad_norm"]] == [1, 2, 3, 4, 5, 6]
    norms = dict(series["train/grad_norm"])
    assert all(value > 0.3 * norms[step] for step, value in series["train/micro_grad_norm"])
    assert "train/micro_grad_norm" not in run(tmp_path / "whole")[0]


def test_embedding_tables_are_not_watched_and_the_rest_is_spread():
    model = TinyModel()
    assert [tuple(p.shape) for p in watched_matrices(model, 16)] == [(8, 8), (8, 8), (11, 8)]
    assert [tuple(p.shape) for p in watched_matrices(model, 2)] == [(8, 8), (11, 8)]


def test_a_model_of_zeros_has_nothing_to_compare_with(tmp_path):
    vitals, module = Vitals(16), tiny_module(dropout=0.0)
    with torch.no_grad():
        for p in watched_matrices(module.model, 16):
            p.zero_()
    trainer = tiny_trainer(tmp_path, max_steps=2, callbacks=[vitals], loggers=[MetricsFile(tmp_path)])
    trainer.fit(module, datamodule=TinyData())
    series = metric_series(tmp_path / "metrics.csv")
    assert "train/loss_max" in series and "train/update_ratio" not in series


def test_a_run_that_goes_on_writes_the_rows_of_one_that_was_never_stopped(tmp_path):
    """Rows of two steps, stopped within one: the losses before the stop and the weights at the start are remembered."""
    whole, _ = fit_with_saves(tmp_path / "whole", 6)
    fit_with_saves(tmp_path / "stopped", 3)
    (saved,) = (tmp_path / "stopped" / "checkpoints").glob("step_00000003")
    again, _ = fit_with_saves(tmp_path / "again", 6, resume=str(saved))
    for name in ("train/weight_growth", "train/update_ratio", "train/loss_max"):
        later = [point for point in whole[name] if point[0] > 3]
        assert later and again[name] == later, name


def fit_with_saves(folder, max_steps, resume=None):
    saves = CheckpointsConfig(every_steps=3, keep_last=9).build(RunFacts(run_dir=folder))
    module = tiny_module(dropout=0.0)
    trainer = tiny_trainer(
        folder, max_steps=max_steps, callbacks=[saves, Vitals(16)], loggers=[MetricsFile(folder)], log_every_steps=2
    )
    trainer.fit(module, datamodule=TinyData(micro_batch_size=4), ckpt_path=resume)
    return metric_series(folder / "metrics.csv"), module
