"""A repetition ends after the step of the other run and follows its horizon."""

from pathlib import Path

import pytest

from prospero.errors import ConfigError
from prospero.optim.schedules.linear import LinearConfig
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import read_metrics
from prospero.training.callbacks.repetition import RepetitionConfig
from prospero.training.horizon import HorizonRecord
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.run_facts import RunFacts
from tests.training.tiny import TinyData, tiny_module, tiny_trainer


class Falling:
    """Settings of a schedule that depends on the length of the run at every step."""

    def build(self, optimizer, total_steps):
        return LinearConfig(warmup_steps=0).build(optimizer, total_steps)


def rows(place: Path, *, max_steps: int, **settings):
    place.mkdir()
    module = tiny_module(schedule=Falling(), total_steps=max_steps)
    trainer = tiny_trainer(place, max_steps=max_steps, loggers=[MetricsFile(place)], **settings)
    trainer.fit(module, datamodule=TinyData())
    return read_metrics(RunFolder(place).metrics), module


def repetition(place: Path, **settings):
    return RepetitionConfig(**settings).build(RunFacts(run_dir=place))


def test_the_first_steps_have_the_schedule_of_the_whole_run(tmp_path):
    whole, _ = rows(tmp_path / "whole", max_steps=12)
    part, module = rows(tmp_path / "part", max_steps=12, callbacks=[repetition(tmp_path, until_step=7)])
    assert [row["step"] for row in part] == [str(step) for step in range(1, 8)]
    assert [row["train/loss"] for row in part] == [row["train/loss"] for row in whole[:7]]
    assert [row["train/lr"] for row in part] == [row["train/lr"] for row in whole[:7]]
    assert "val/loss" in part[-1] and module.state.stop_reason == "repeated until step 7"
    shorter, _ = rows(tmp_path / "shorter", max_steps=7)
    assert shorter[3]["train/lr"] != whole[3]["train/lr"]


def test_a_run_limited_by_time_comes_out_again_by_its_own_estimates(tmp_path):
    timed, _ = rows(tmp_path / "timed", max_steps=100_000, max_minutes=0.015)
    record = HorizonRecord(RunFolder(tmp_path / "timed").horizon)
    last = int(timed[-1]["step"])
    assert record.read() and max(record.read()) <= last
    follows = [repetition(tmp_path, until_step=last, horizon=str(record.path))]
    again, _ = rows(tmp_path / "again", max_steps=100_000, callbacks=follows)
    for name in ("step", "train/lr", "train/loss"):
        assert [row[name] for row in again] == [row[name] for row in timed]


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="until_step=0 must be at least 1"):
        RepetitionConfig(until_step=0)
    with pytest.raises(ConfigError, match="horizon= is empty"):
        RepetitionConfig(horizon=" ")
    with pytest.raises(ConfigError, match="is no file"):
        repetition(tmp_path, horizon=str(tmp_path / "nothing"))
