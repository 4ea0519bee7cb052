"""W&B for real, offline: what its own reader finds, and that nothing it does stops a run."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from prospero.training.loggers import wandb as room
from prospero.training.loggers.wandb import Mode, WandbConfig, has_key, resolve_mode, run_id
from prospero.training.run_facts import RunFacts
from tests.training.wandb_server import WandbServer

pytestmark = pytest.mark.processes

pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no_config"))


def records(run_dir: Path) -> list[dict]:
    """All records of the run's offline file, by W&B's own reader."""
    (file,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    return records_of(file)


def records_of(file: Path) -> list[dict]:
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip().startswith("{")]


def test_an_offline_run_can_be_read_back(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    facts = RunFacts(run_dir=tmp_path, name="small", tags=["a"], config={"model": {"n_layers": 2}, "key": "***"})
    logger = WandbConfig(tags=["b"]).build(facts)
    logger.resume_at(0)
    logger.log_metrics({"tokens": 40.0, "train/loss": 2.5}, 1)
    logger.log_metrics({"tokens": 80.0, "train/loss": 1.25, "val/loss": 1.5}, 2)
    logger.log_text("samples", "def f():\n    <b>", 2)
    logger.log_table("evaluation/choice", [{"item": "0", "said": "a<b\nc"}, {"item": "1", "said": ""}], 2)
    logger.close()
    found = records(tmp_path)
    rows = [record["history"]["item"] for record in found if record["type"] == "history"]
    (run,) = [record["run"] for record in found if record["type"] == "run"]
    assert run["run_id"] == run_id(tmp_path)
    assert (run["display_name"], sorted(run["tags"])) == ("small", ["a", "b"])
    assert run["config"]["update"] == {"_wandb": {}, "model": {"n_layers": 2}, "key": "***"}
    losses = [(row["step"], row["tokens"], row["train/loss"]) for row in rows if "train/loss" in row]
    assert losses == [(1, 40, 2.5), (2, 80, 1.25)]
    assert any(key.startswith("samples") for row in rows for key in row)
    (table,) = (tmp_path / "wandb").glob("offline-run-*/files/media/table/evaluation/choice*.table.json")
    assert json.loads(table.read_text()) == {"columns": ["item", "said"], "data": [["0", "a<b\nc"], ["1", ""]]}
    (said,) = [record.getMessage() for record in caplog.records if record.name == "prospero"]
    assert said.startswith("W&B: logged offline (no key was found); send it later with: wandb sync ")


def test_a_failure_of_wandb_is_one_warning(tmp_path, monkeypatch, caplog):
    logger = WandbConfig().build(RunFacts(run_dir=tmp_path))
    monkeypatch.setattr(logger, "_init", lambda mode: (_ for _ in ()).throw(RuntimeError("no disk\nsecond line")))
    logging.getLogger("prospero").propagate = True
    with caplog.at_level(logging.WARNING):
        logger.resume_at(0)
        logger.log_metrics({"a": 1.0}, 1)
        logger.close()
    assert [r.getMessage() for r in caplog.records] == ["W&B failed to start (no disk); training goes on without it"]


def logged_losses(run_dir: Path) -> dict[int, float]:
    """Step -> loss, over all offline files of a run."""
    found = {}
    for file in sorted((run_dir / "wandb").glob("*run-*/run-*.wandb")):
        for record in records_of(file):
            item = record.get("history", {}).get("item", {})
            if "train/loss" in item:
                found[item["step"]] = item["train/loss"]
    return found


def one_warning(caplog) -> str:
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING and r.name == "prospero"]
    return record.getMessage()


def test_nobody_at_the_address_means_offline_at_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    logger = WandbConfig(mode=Mode.online).build(RunFacts(run_dir=tmp_path))
    started = time.monotonic()
    logger.resume_at(0)
    assert time.monotonic() - started < 20
    logger.log_metrics({"train/loss": 0.5}, 1)
    logger.close()
    assert logged_losses(tmp_path) == {1: 0.5}
    said = one_warning(caplog)
    assert "Connection refused" in said and f"wandb sync {tmp_path}/wandb/*run-*" in said


def test_a_killed_service_costs_one_warning_and_no_row(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    logger = WandbConfig(mode=Mode.offline).build(RunFacts(run_dir=tmp_path))
    for step in (1, 2, 3, 4):
        logger.log_metrics({"train/loss": 1 / step}, step)
        if step == 2:
            for process in psutil.Process().children(recursive=True):
                if "wandb-core" in process.name():
                    process.kill()
                    process.wait(120)
    logger.close()
    assert logged_losses(tmp_path) == {step: 1 / step for step in (1, 2, 3, 4)}
    assert "wandb sync" in one_warning(caplog)
    assert len({file.stem.rpartition("-")[2] for file in (tmp_path / "wandb").glob("*run-*/*.wandb")}) == 1, "one id"


def test_mode_follows_key_and_environment(tmp_path, monkeypatch):
    assert not has_key()
    assert resolve_mode(Mode.auto) is Mode.offline
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password x\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert resolve_mode(Mode.auto) is Mode.online
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert resolve_mode(Mode.auto) is Mode.disabled
    assert resolve_mode(Mode.offline) is Mode.offline
    assert room.run_id(tmp_path) == room.run_id(tmp_path)


@pytest.fixture
def server(monkeypatch):
    """A stand-in for W&B's server, that this process is sent to with a key."""
    import wandb

    wandb.teardown()  # it would keep the address of a test before
    server = WandbServer()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    yield server
    server.die()


def log_rows(run_dir: Path, steps, **settings) -> None:
    logger = WandbConfig(**settings).build(RunFacts(run_dir=run_dir))
    logger.resume_at(min(steps) - 1)
    for step in steps:
        logger.log_metrics({"train/loss": 1 / step}, step)
    logger.close()


def test_a_run_and_its_continuation_reach_the_server_as_one(server, tmp_path, caplog):
    log_rows(tmp_path, (1, 2))
    log_rows(tmp_path, (3, 4))
    rows = {row["step"]: row["train/loss"] for row in server.history if "train/loss" in row}
    assert rows == {step: 1 / step for step in (1, 2, 3, 4)}
    assert server.runs == {run_id(tmp_path)}
    assert [r for r in caplog.records if r.name == "prospero"] == []


def test_a_bad_key_is_one_warning_and_an_offline_run(server, tmp_path, caplog):
    server.key_is_good = False
    log_rows(tmp_path, (1, 2))
    assert logged_losses(tmp_path) == {1: 1.0, 2: 0.5}
    said = one_warning(caplog)
    assert "401" in said and "wandb sync" in said and "a" * 40 not in said


def test_a_server_that_dies_keeps_nobody_waiting(server, tmp_path, caplog):
    logger = WandbConfig(finish_timeout_seconds=2.0).build(RunFacts(run_dir=tmp_path))
    logger.log_metrics({"train/loss": 1.0}, 1)
    server.die()
    logger.log_metrics({"train/loss": 0.5}, 2)
    started = time.monotonic()
    logger.close()
    assert time.monotonic() - started < 15
    assert logged_losses(tmp_path) == {1: 1.0, 2: 0.5}, "all of it is on disk"
    assert "has not received everything" in one_warning(caplog)


def test_tags_that_wandb_does_not_take_are_cut_or_left_out_and_named(caplog):
    from prospero.training.loggers.wandb import fitting_tags

    with caplog.at_level("WARNING", logger="prospero"):
        assert fitting_tags(["good", "x" * 70, "", "good", "y" * 64]) == ["good", "x" * 64, "y" * 64]
    assert len(caplog.records) == 2 and "x" * 70 in caplog.text and "it is left out" in caplog.text


@pytest.mark.parametrize("project", ["", "a/b", "x" * 129, "100%"])
def test_a_project_that_wandb_does_not_take_is_said_at_once(project):
    from prospero.errors import ConfigError
    from prospero.training.loggers.wandb import WandbConfig

    with pytest.raises(ConfigError, match="W&B takes 1 to 128 characters"):
        WandbConfig(project=project)
