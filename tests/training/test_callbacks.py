"""Callbacks in real runs of the tiny model: what is kept, what is measured, and what ends a run."""

import errno
import os
import signal
import time

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from prospero.checkpoints import writing
from prospero.checkpoints.run_checkpoints import RunCheckpoints
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.metrics.collection import TokenMetrics
from prospero.runs.metrics import metric_series
from prospero.training.callbacks import checkpoints as checkpoints_file
from prospero.training.callbacks.base import StepCallback
from prospero.training.callbacks.checkpoints import CheckpointsConfig, seconds_to_next_save
from prospero.training.callbacks.convergence import ConvergenceConfig, Split, improvement_ratio
from prospero.training.callbacks.early_stopping import EarlyStoppingConfig
from prospero.training.callbacks.progress import ProgressConfig, duration
from prospero.training.callbacks.samples import SamplesConfig, forget_after
from prospero.training.callbacks.throughput import ThroughputConfig, measure_peak_flops
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.run_facts import RunFacts
from tests.training.tiny import TinyData, tiny_module, tiny_trainer


def fit(tmp_path, callbacks, *, lr=0.1, resume=None, **settings):
    module = tiny_module(lr=lr)
    trainer = tiny_trainer(tmp_path, callbacks=callbacks, loggers=[MetricsFile(tmp_path)], **settings)
    trainer.fit(module, datamodule=TinyData(), ckpt_path=resume)
    return module


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))


def there(tmp_path):
    """All that lies there of checkpoints, hidden and half-written ones too."""
    return sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if "step_" in path.name)


def test_last_and_best_are_kept_and_named(tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 4.0])
    compute = TokenMetrics.compute
    monkeypatch.setattr(TokenMetrics, "compute", lambda self, split: compute(self, split) | {"val/loss": next(losses)})
    fit(tmp_path, [CheckpointsConfig(every_steps=2, keep_last=2, keep_best=1).build(RunFacts(run_dir=tmp_path))],
        max_steps=11, val_every_steps=3)  # fmt: skip
    found = RunCheckpoints(tmp_path / "checkpoints")
    assert found.last().step == 11
    assert found.best().step == 6
    assert names(tmp_path) == ["step_00000006", "step_00000010", "step_00000011"]


@pytest.mark.heavy
def test_saves_by_the_clock_are_as_frequent_as_they_are_cheap(tmp_path, monkeypatch):
    assert [seconds_to_next_save(10.0, seconds) for seconds in (0.0, 0.02, 0.5, 60.0)] == [10.0, 10.0, 100.0, 600.0]
    assert seconds_to_next_save(0.1, 0.0) == pytest.approx(6.0)
    monkeypatch.setattr(checkpoints_file, "SOONEST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints_file, "SHARE_OF_TIME", 1e9)
    settings = {"max_steps": 25, "val_every_steps": 0}
    fit(tmp_path, [CheckpointsConfig(keep_last=9).build(RunFacts(run_dir=tmp_path))], **settings)
    assert names(tmp_path) == ["step_00000010", "step_00000020", "step_00000025"]

    class Trouble(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            pl_module.watch.guard.bad = [object()] if 8 <= batch_idx < 12 else []

    rest = tmp_path / "trouble"
    monkeypatch.setattr(type(tiny_module().watch.guard), "read", lambda self, record: None)
    fit(rest, [Trouble(), CheckpointsConfig(keep_last=9).build(RunFacts(run_dir=rest))], **settings)
    assert names(rest) == ["step_00000020", "step_00000025"]
    none = tmp_path / "none"
    fit(none, [CheckpointsConfig(every_minutes=None).build(RunFacts(run_dir=none))], **settings)
    assert names(none) == ["step_00000025"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_full_disk_costs_a_warning_and_only_the_last_save_must_succeed(tmp_path, monkeypatch, caplog, asynchronous):
    import logging

    logging.getLogger("prospero").propagate = True
    config = CheckpointsConfig(every_steps=3, asynchronous=asynchronous)
    write, calls, failing = writing.write_tensors, [], [2, 3]

    def full_disk(path, parts):
        calls.append(path)
        if len(calls) in failing:
            path.write_bytes(b"the beginning")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, parts)

    monkeypatch.setattr(writing, "write_tensors", full_disk)
    with caplog.at_level(logging.INFO, logger="prospero"):
        fit(tmp_path, [config.build(RunFacts(run_dir=tmp_path))], val_every_steps=0, max_steps=14)
    assert sum("No space left on device; training goes on" in line for line in caplog.messages) == 1
    assert "checkpoints are saved again" in caplog.messages
    assert names(tmp_path) == ["step_00000014"]
    assert there(tmp_path) == ["step_00000014"]
    failing[:] = range(len(calls) + 2, 1000)
    with pytest.raises(DataError, match=r"could not write the checkpoint .*step_00000005: No space left on device"):
        fit(tmp_path / "b", [config.build(RunFacts(run_dir=tmp_path / "b"))], val_every_steps=0, max_steps=5)
    assert there(tmp_path / "b") == ["step_00000003"]


def test_no_room_is_found_before_anything_is_written(tmp_path, monkeypatch, caplog):
    import logging

    logging.getLogger("prospero").propagate = True
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda path: usage)
    callback = CheckpointsConfig(every_steps=3).build(RunFacts(run_dir=tmp_path))
    said = r"no room for .*step_00000007: it needs 0.0 MB and leaves 16.8 MB for .*, the disk has 0.0 MB left; free"
    with pytest.raises(DataError, match=said):
        fit(tmp_path, [callback], val_every_steps=0, max_steps=7)
    assert not list((tmp_path / "checkpoints").glob("*step_*"))


def test_an_error_elsewhere_saves_the_last_whole_step(tmp_path):
    class Breaks(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 7:
                raise OSError("the data went away")

    with pytest.raises(OSError, match="went away"):
        fit(tmp_path, [Breaks(), CheckpointsConfig().build(RunFacts(run_dir=tmp_path))], val_every_steps=0)
    assert names(tmp_path) == ["step_00000007"]
    resumed = fit(tmp_path, [], resume=tmp_path / "checkpoints" / "step_00000007", val_every_steps=0)
    whole = fit(tmp_path / "whole", [], val_every_steps=0)
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), whole.model.parameters()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_after_the_step_and_says_so(tmp_path, number):
    class Sends(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 4:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    module = fit(tmp_path, [Sends(), CheckpointsConfig().build(RunFacts(run_dir=tmp_path))], val_every_steps=0)
    assert module.state.stop_reason == f"interrupted by {number.name}"
    assert names(tmp_path) == ["step_00000005"]
    assert module.state.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_early_stopping_ends_and_says_why_and_its_state_is_saved(tmp_path):
    config = EarlyStoppingConfig(patience=2, min_delta=100.0)  # nothing improves that much
    facts = RunFacts(run_dir=tmp_path)
    module = fit(tmp_path, [config.build(facts), CheckpointsConfig().build(facts)], val_every_steps=1)
    assert module.step == 3
    assert module.state.stop_reason.startswith("early stopping: val/loss has not fallen below")
    again = config.build(facts)
    fit(tmp_path, [again], val_every_steps=1, resume=tmp_path / "checkpoints" / "step_00000003")
    assert again.validations_without_improvement >= 2


def test_convergence_compares_two_windows():
    falling = [(step, 10.0 - step) for step in range(1, 5)]
    assert improvement_ratio(falling[:3], 2) is None
    assert improvement_ratio(falling, 2) == pytest.approx((8.5 - 6.5) / 8.5)
    assert improvement_ratio([(step, 3.0) for step in range(1, 21)], 10) == 0


@pytest.mark.parametrize("split", list(Split))
def test_convergence_ends_a_run_that_stands_still(tmp_path, split):
    config = ConvergenceConfig(split=split, window_steps=2, min_improvement_ratio=0.5)
    module = fit(tmp_path, [config.build(RunFacts(run_dir=tmp_path))], val_every_steps=1, lr=1e-9)
    assert module.step == 4
    assert module.state.stop_reason.startswith(f"convergence: {split.value}/loss improved by")


@pytest.mark.parametrize("ends_itself", [True, False])
def test_the_last_step_is_logged_whatever_ended_the_run_and_not_when_it_goes_on(tmp_path, ends_itself):
    class Ends(StepCallback):
        def on_step_end(self, trainer, module):
            if module.step == 7:
                trainer.should_stop = True
                module.state.stopping_to_resume = not ends_itself

    fit(tmp_path, [Ends()], max_steps=40, log_every_steps=4, val_every_steps=0)
    series = metric_series(tmp_path / "metrics.csv")
    whole = fit_whole(tmp_path / "whole")
    assert series["train/loss"] == [pair for pair in whole if pair[0] in ([1, 4, 7] if ends_itself else [1, 4])]
    assert [step for step, _ in series["train/grad_norm"]] == [step for step, _ in series["train/loss"]]


def fit_whole(folder):
    fit(folder, [], max_steps=7, log_every_steps=1, val_every_steps=0)
    return metric_series(folder / "metrics.csv")["train/loss"]


@pytest.mark.heavy
def test_max_minutes_ends_the_run_validates_it_and_moves_the_horizon(tmp_path):
    module = tiny_module(total_steps=10**9)
    horizons = []

    class Slow(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            time.sleep(0.02)
            horizons.append(pl_module.state.horizon)

    trainer = tiny_trainer(tmp_path, max_steps=10**9, callbacks=[Slow()], max_minutes=1.0 / 60, val_every_steps=0)
    trainer.fit(module, datamodule=TinyData())
    assert module.state.stop_reason == "max_minutes: 0.0166667 minutes are over"
    assert "val/loss" in module.state.metrics
    assert 10 < module.step < 50
    assert horizons[-1] == pytest.approx(module.step, abs=2)


def test_throughput_and_progress(tmp_path, caplog):
    import logging

    logging.getLogger("prospero").propagate = True
    facts = RunFacts(run_dir=tmp_path, flops_per_token=1000.0, tokens_per_step=24)
    with caplog.at_level(logging.INFO, logger="prospero"):
        fit(tmp_path, [ThroughputConfig(peak_flops=1e9).build(facts), ProgressConfig().build(facts)])
    series = metric_series(tmp_path / "metrics.csv")
    assert len(series["train/tokens_per_second"]) == 12
    for (_, speed), (_, mfu) in zip(series["train/tokens_per_second"], series["train/mfu"]):
        assert mfu == pytest.approx(speed * 1000 / 1e9)
    assert all(0 <= ratio <= 1 for _, ratio in series["train/data_wait_ratio"])
    assert any("tokens/s" in line for line in caplog.messages)
    assert any(line.startswith("step 12: validation loss") for line in caplog.messages)
    assert [duration(s) for s in (5, 200, 7500)] == ["5s", "3m20s", "2h05m"]
    assert measure_peak_flops(torch.float32, size=64, repeats=1) > 0


def test_a_line_between_two_logged_rows_repeats_no_loss(tmp_path, caplog):
    import logging

    logging.getLogger("prospero").propagate = True
    progress = ProgressConfig(line_every_seconds=1e-9).build(RunFacts(run_dir=tmp_path))
    with caplog.at_level(logging.INFO, logger="prospero"):
        fit(tmp_path, [progress], max_steps=9, log_every_steps=4)
    lines = [line for line in caplog.messages if "/9" in line]
    assert len(lines) == 9
    assert [line.partition("/")[0] for line in lines if "loss" in line] == ["step 1", "step 4", "step 8", "step 9"]


def test_samples_leave_training_untouched(tmp_path, monkeypatch):
    from prospero.training.callbacks import samples

    def noisy(self, model):
        torch.rand(3)  # whatever generation draws
        return ["one", "two"]

    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    facts = RunFacts(run_dir=tmp_path, tokenizer=tokenizer)
    monkeypatch.setattr(samples.Samples, "_generate", noisy)
    callback = SamplesConfig(every_steps=4, prompts=["a", "b"]).build(facts)
    module = fit(tmp_path, [callback])
    text = (tmp_path / "samples.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## step")] == [
        f"## step {step}, {step * 24:,} tokens, prompt '{p}'" for step in (4, 8, 12) for p in "ab"
    ]
    plain = fit(tmp_path / "plain", [])
    assert all(torch.equal(a, b) for a, b in zip(module.model.parameters(), plain.model.parameters()))
    forget_after(tmp_path / "samples.md", 8)
    assert "## step 12" not in (tmp_path / "samples.md").read_text()
    assert "## step 8" in (tmp_path / "samples.md").read_text()


def test_impossible_settings_are_refused():
    for config, values in (
        (CheckpointsConfig, {"keep_last": 0}),
        (CheckpointsConfig, {"every_steps": 0}),
        (EarlyStoppingConfig, {"patience": 0}),
        (ConvergenceConfig, {"min_improvement_ratio": 1.0}),
        (SamplesConfig, {"prompts": []}),
        (ProgressConfig, {"line_every_seconds": 0}),
    ):
        with pytest.raises(ConfigError):
            config(**values)


@pytest.mark.parametrize(("patience", "trained"), [(1, 0), (3, 4)])
def test_a_run_that_early_stopping_ended_trains_no_further_unless_the_rule_is_another(tmp_path, patience, trained):
    from prospero.training.callbacks.early_stopping import EarlyStopping

    def parts(patience):
        return [EarlyStopping(patience, 99.0), CheckpointsConfig().build(RunFacts(run_dir=tmp_path))]

    first = fit(tmp_path, parts(1), val_every_steps=2, max_steps=20)
    assert first.step == 4 and first.state.stop_reason.startswith("early stopping: ")
    again = fit(
        tmp_path, parts(patience), val_every_steps=2, max_steps=20, resume=tmp_path / "checkpoints/step_00000004"
    )
    assert again.step == 4 + trained and again.state.stop_reason.startswith("early stopping: ")


@pytest.mark.heavy
def test_a_run_whose_time_is_over_trains_no_further_and_keeps_its_horizon_until_there_is_another(tmp_path):
    horizons = []

    class Slow(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            time.sleep(0.02)
            horizons.append(pl_module.state.horizon)

    def part(minutes):
        module = tiny_module(total_steps=10**9, estimated=True)
        callbacks = [Slow(), CheckpointsConfig().build(RunFacts(run_dir=tmp_path))]
        trainer = tiny_trainer(tmp_path, max_steps=10**9, callbacks=callbacks, max_minutes=minutes, val_every_steps=0)
        last = sorted((tmp_path / "checkpoints").glob("step_*"))
        trainer.fit(module, datamodule=TinyData(), ckpt_path=last[-1] if last else None)
        return module

    first = part(0.5 / 60)
    horizons.clear()
    assert part(0.5 / 60).step == first.step and horizons == []
    second = part(1.0 / 60)
    assert second.step > first.step
    assert horizons[:4] == [first.state.horizon] * 4
