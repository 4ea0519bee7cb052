"""Trackio for real, on this machine: what its own reader finds over a continued run."""

import importlib.util

import pytest

from prospero.errors import ConfigError
from prospero.training.loggers.trackio import TrackioConfig
from prospero.training.run_facts import RunFacts

INSTALLED = importlib.util.find_spec("trackio") is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"project": " "}, "logger.trackio.project= is empty"),
        ({"space": ""}, "logger.trackio.space= is empty"),
        ({"finish_timeout_seconds": 0}, "finish_timeout_seconds=0 is not possible"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        TrackioConfig(**settings)


@pytest.mark.skipif(INSTALLED, reason="Trackio is installed here")
def test_without_trackio_it_is_said_how_to_get_it(tmp_path):
    with pytest.raises(ConfigError, match=r"pip install 'prospero\[trackio\]'"):
        TrackioConfig().build(RunFacts(run_dir=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.processes
@pytest.mark.skipif(not INSTALLED, reason='needs pip install "prospero[trackio]"')
def test_a_run_and_its_continuation_are_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = tmp_path / "run"
    run.mkdir()
    for steps in ((1, 2), (3, 4)):
        logger = TrackioConfig(project="lab").build(RunFacts(run_dir=run, name="small", config={"seed": 1}))
        logger.resume_at(steps[0] - 1)
        for step in steps:
            logger.log_metrics({"train/loss": 1 / step}, step)
            logger.log_rows("samples", [{"step": step, "text": "a<b>"}], step)
        logger.close()
    from trackio.sqlite_storage import SQLiteStorage

    assert SQLiteStorage.get_runs("lab") == [logger.version] and logger.version.startswith("small-")
    rows = SQLiteStorage.get_logs("lab", logger.version)
    assert {row["step"]: row["train/loss"] for row in rows if "train/loss" in row} == {
        1: 1,
        2: 1 / 2,
        3: 1 / 3,
        4: 0.25,
    }
    tables = [row["samples"]["_value"] for row in rows if "samples" in row]
    assert tables == [[{"step": step, "text": "a<b>"}] for step in (1, 2, 3, 4)]
