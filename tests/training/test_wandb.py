"""W&B for real, offline: what its own reader finds, and that nothing it does stops a run."""

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from prospero.errors import ConfigError
from prospero.model.size import ParameterCount
from prospero.runs.folder import RunFolder
from prospero.training.loggers.handing_over import HandingOver
from prospero.training.loggers.wandb.access import Mode, has_key, resolve_mode, run_id
from prospero.training.loggers.wandb.facts import BestNumbers
from prospero.training.loggers.wandb.logger import Kept, WandbConfig
from prospero.training.loggers.wandb.names import artifact_name, fitting_tags
from prospero.training.run_facts import RunFacts
from tests.training.wandb_server import WandbServer

pytestmark = pytest.mark.processes

pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    names = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_SWEEP_ID")
    for name in names:
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
    finished_run(RunFolder(tmp_path))
    facts = RunFacts(
        run_dir=tmp_path,
        name="small",
        tags=["a"],
        config={"model": {"n_layers": 2}, "key": "***"},
        tokens_per_step=40,
        flops_per_token=600.0,
        size=ParameterCount(100, 40, {}, 10),
        higher_is_better={"val/loss": False, "val/accuracy": True},
    )
    logger = WandbConfig(tags=["b"], artifacts=list(Kept)).build(facts)
    logger.resume_at(0)
    logger.log_metrics({"tokens": 40.0, "train/loss": 2.5, "val/loss": 1.25, "val/accuracy": 0.5}, 1)
    logger.log_metrics({"tokens": 80.0, "train/loss": 1.25, "val/loss": 1.5, "val/accuracy": 0.75}, 2)
    logger.log_text("samples", "def f():\n    <b>", 2)
    logger.log_table("evaluation/choice", [{"item": "0", "said": "a<b\nc"}, {"item": "1", "said": ""}], 2)
    for step in (1, 2):
        logger.log_rows("grown", [{"step": step, "text": f"text {step}"}], step)
    logger.log_summary({"stop_reason": "max_steps"})
    logger.log_files(RunFolder(tmp_path))
    logger.close()
    found = records(tmp_path)
    rows = [record["history"]["item"] for record in found if record["type"] == "history"]
    (run,) = [record["run"] for record in found if record["type"] == "run"]
    assert run["run_id"] == run_id(tmp_path)
    assert (run["display_name"], sorted(run["tags"])) == ("small", ["a", "b"])
    config = run["config"]["update"]
    assert (config["model"], config["key"]) == ({"n_layers": 2}, "***")
    told = config["run"]
    assert (told["command"], told["git_commit"]) == ("train.py 'data.path=a b'", "c0ffee")
    assert (told["parameters"], told["parameters_non_embedding"], told["parameters_trained"]) == (100, 60, 10)
    assert (told["flops_per_token"], told["flops_per_step"]) == (600, 24000)
    best = {"best/val/loss": 1.25, "best/val/accuracy": 0.75, "stop_reason": "max_steps", "val/loss": 1.5}
    assert summary_of(found).items() >= best.items()
    assert grown_rows(tmp_path, "grown") == [[1, "text 1"], [2, "text 2"]]
    kept = {record["artifact"]["name"]: record["artifact"] for record in found if record["type"] == "artifact"}
    assert {f"{run_id(tmp_path)}-{what}" for what in ("model", "receipt", "evaluation")} <= kept.keys()
    assert files_of(kept[f"{run_id(tmp_path)}-model"]) == {"config.json", "model.safetensors"}
    assert files_of(kept[f"{run_id(tmp_path)}-receipt"]) == {"receipt.json"}
    assert files_of(kept[f"{run_id(tmp_path)}-evaluation"]) == {"result.json", "evaluation/choice.table.json"}
    losses = [(row["step"], row["tokens"], row["train/loss"]) for row in rows if "train/loss" in row]
    assert losses == [(1, 40, 2.5), (2, 80, 1.25)]
    assert any(key.startswith("samples") for row in rows for key in row)
    (table,) = (tmp_path / "wandb").glob("offline-run-*/files/media/table/evaluation/choice*.table.json")
    assert json.loads(table.read_text()) == {"columns": ["item", "said"], "data": [["0", "a<b\nc"], ["1", ""]]}
    (said,) = [record.getMessage() for record in caplog.records if record.name == "prospero"]
    assert said.startswith("W&B: logged offline (no key was found); send it later with: wandb sync ")


def finished_run(folder: RunFolder) -> None:
    """Write what a run leaves, as far as W&B is told of it."""
    folder.model.mkdir()
    (folder.model / "config.json").write_text("{}")
    (folder.model / "model.safetensors").write_bytes(b"weights")
    folder.receipt.write_text("{}")
    folder.result.write_text('{"objective": 1.25, "higher_is_better": []}')
    facts = {"command_line": ["train.py", "data.path=a b"], "git": {"commit": "c0ffee", "changed": False}}
    facts |= {"python": "3.11", "packages": {}, "cpu": "a processor", "gpus": []}
    folder.environment.write_text(json.dumps(facts))


def summary_of(found: list[dict]) -> dict:
    """The summary that a run ends with."""
    updates = [record["summary"].get("update", {}) for record in found if record["type"] == "summary"]
    return {key: value for update in updates for key, value in update.items()}


def files_of(artifact: dict) -> set[str]:
    return {entry["path"] for entry in artifact["manifest"]["contents"]}


def grown_rows(run_dir: Path, name: str) -> list[list]:
    """The rows of all increments of a table that lie in the run's files."""
    files = sorted(
        (run_dir / "wandb").glob(f"*run-*/files/media/table/{name}_*"), key=lambda path: path.stat().st_mtime_ns
    )
    return [row for file in files for row in json.loads(file.read_text())["data"]]


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


def test_what_a_sweep_calls_by_its_name_keeps_its_settings(tmp_path, monkeypatch):
    import wandb

    wandb.teardown()  # it would keep the environment of a test before
    chosen = tmp_path / "chosen.yaml"
    chosen.write_text("wandb_version: 1\nmodel:\n  value: tiny\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sw33p")
    monkeypatch.setenv("WANDB_RUN_ID", "trial")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(chosen))
    facts = RunFacts(run_dir=tmp_path, config={"model": {"n_layers": 2}, "seed": 1})
    logger = WandbConfig(mode=Mode.offline).build(facts)
    logger.resume_at(0)
    config = dict(logger.run.config)
    logger.close()
    wandb.teardown()
    assert (config["model"], config["settings"], config["seed"]) == ("tiny", {"model": {"n_layers": 2}}, 1)


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
    assert run_id(tmp_path) == run_id(tmp_path)


def test_a_trial_of_a_sweep_has_the_id_that_its_agent_gave(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "from_agent")
    assert run_id(tmp_path / "by_hand") != "from_agent"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sw33p")
    assert run_id(tmp_path / "trial") == "from_agent"
    monkeypatch.delenv("WANDB_SWEEP_ID")
    assert run_id(tmp_path / "trial") == "from_agent", "a trial that is continued by hand stays the same run"


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
    facts = RunFacts(run_dir=run_dir, higher_is_better={"val/loss": False})
    logger = WandbConfig(**settings).build(facts)
    logger.resume_at(min(steps) - 1)
    for step in steps:
        logger.log_metrics({"train/loss": 1 / step, "val/loss": abs(step - 2) + 0.5}, step)
        logger.log_rows("samples", [{"step": step, "text": f"text {step}"}], step)
    logger.close()


def test_a_run_and_its_continuation_reach_the_server_as_one(server, tmp_path, caplog):
    log_rows(tmp_path, (1, 2))
    RunFolder(tmp_path).metrics.write_text("step,val/loss\n1,1.5\n2,0.5\n3,0.1\n")  # step 3 is done anew
    log_rows(tmp_path, (3, 4))
    rows = {row["step"]: row["train/loss"] for row in server.history if "train/loss" in row}
    assert rows == {step: 1 / step for step in (1, 2, 3, 4)}
    assert server.runs == {run_id(tmp_path)}
    assert server.table("samples") == [[step, f"text {step}"] for step in (1, 2, 3, 4)]
    summary = server.summaries[run_id(tmp_path)]
    assert (summary["best/val/loss"], summary["val/loss"]) == (0.5, 2.5)
    assert len(summary["samples"]["previous_increments_paths"]) == 3, "W&B joins the parts to one table"
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
    with caplog.at_level("WARNING", logger="prospero"):
        assert fitting_tags(["good", "x" * 70, "", "good", "y" * 64]) == ["good", "x" * 64, "y" * 64]
    assert len(caplog.records) == 2 and "x" * 70 in caplog.text and "it is left out" in caplog.text


@pytest.mark.parametrize("project", ["", "a/b", "x" * 129, "100%"])
def test_a_project_that_wandb_does_not_take_is_said_at_once(project):
    with pytest.raises(ConfigError, match="W&B takes 1 to 128 characters"):
        WandbConfig(project=project)


def test_what_a_server_does_not_answer_holds_up_no_row(server, tmp_path):
    logger = WandbConfig().build(RunFacts(run_dir=tmp_path))
    logger.log_metrics({"train/loss": 1.0}, 1)
    server.hangs.set()
    for step in (2, 3):  # the client would wait here for the server's answer about the table
        logger.log_rows("samples", [{"step": step, "text": "a"}], step)
        logger.log_metrics({"train/loss": 1 / step}, step)
    assert server.hangs.is_set() and logger.extras.wait(0) == ["samples"]
    server.hangs.clear()
    logger.close()
    assert logged_losses(tmp_path) == {1: 1.0, 2: 1 / 2, 3: 1 / 3}
    assert server.table("samples") == [[2, "a"], [3, "a"]]


def test_what_is_not_handed_over_in_time_is_named(tmp_path, caplog):
    logger = WandbConfig(mode=Mode.offline, finish_timeout_seconds=0.2).build(RunFacts(run_dir=tmp_path))
    logger.resume_at(0)
    answers = threading.Event()
    logger.extras.add("samples", lambda: answers.wait(60))
    with caplog.at_level(logging.WARNING, logger="prospero"):
        logger.close()
    answers.set()
    assert logger.extras.wait(60) == []
    assert "W&B was too slow to take samples; the run folder has it" in caplog.text


def test_a_run_that_gets_the_tag_is_asked_to_stop_once(server, tmp_path):
    stop = RunFolder(tmp_path).stop
    config = WandbConfig(stop_tag_every_seconds=0.05, tags=["kept"])
    logger = config.build(RunFacts(run_dir=tmp_path))
    logger.resume_at(0)
    logger.log_metrics({"train/loss": 1.0}, 1)
    wait_until(lambda: server.asked["Run"] > 2)
    assert not stop.exists()
    server.tags[run_id(tmp_path)] = ["kept", "stop"]
    wait_until(stop.exists)
    assert stop.read_text() == "the tag 'stop' in W&B\n"
    wait_until(lambda: server.tags[run_id(tmp_path)] == ["kept", "stopped"])
    logger.close()
    stop.unlink()

    server.keeps_tags = True  # somebody put it there while the run was down
    server.tags[run_id(tmp_path)] = ["kept", "stop"]
    again = config.build(RunFacts(run_dir=tmp_path))
    again.resume_at(1)
    asked = server.asked["Run"]
    wait_until(lambda: server.asked["Run"] > asked)
    server.keeps_tags = False
    wait_until(lambda: server.tags[run_id(tmp_path)] == ["kept", "stopped"])
    again.close()
    assert not stop.exists()


def wait_until(holds, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def test_a_run_may_not_have_the_tag_that_stops_it(tmp_path):
    with pytest.raises(ConfigError, match=r"tags=\[stop\] is the tag by which a run is stopped"):
        WandbConfig(tags=["stop"])
    with pytest.raises(ConfigError, match="stop_tag=stopped is the tag that a stopped run gets"):
        WandbConfig(stop_tag="stopped")
    with pytest.raises(ConfigError, match=r"tags=\[halt\]"):
        WandbConfig(stop_tag="halt").build(RunFacts(run_dir=tmp_path, tags=["halt"]))
    assert WandbConfig(stop_tag=None, tags=["stop"]).build(RunFacts(run_dir=tmp_path)).run is None


@pytest.mark.parametrize("name", ["stop_tag_every_seconds", "init_timeout_seconds", "finish_timeout_seconds"])
def test_times_are_above_zero(name):
    with pytest.raises(ConfigError, match=f"logger.wandb.{name}=0"):
        WandbConfig(**{name: 0})


def test_the_best_numbers_go_on_where_the_run_does(tmp_path):
    RunFolder(tmp_path).metrics.write_text(
        "step,val/loss,val/accuracy,train/loss\n1,2.0,0.5,3\n2,1.0,,2\n3,0.5,0.9,1\n"
    )
    best = BestNumbers(RunFacts(run_dir=tmp_path, higher_is_better={"val/loss": False, "val/accuracy": True}))
    assert best.begin(0) == {}
    assert best.begin(2) == {"best/val/loss": 1.0, "best/val/accuracy": 0.5}, "step 3 is done anew"
    assert best.update({"val/loss": float("nan"), "val/accuracy": 0.6, "train/loss": 0.1}) == {"best/val/accuracy": 0.6}
    assert best.update({"val/loss": 0.75, "val/accuracy": 0.6}) == {"best/val/loss": 0.75}


def test_what_wandb_refuses_is_said_once_and_the_rest_goes_on(caplog):
    taken = []
    extras = HandingOver("W&B")
    with caplog.at_level("WARNING", logger="prospero"):
        for step in (1, 2):
            extras.add("picture", lambda: (_ for _ in ()).throw(RuntimeError("no\nsecond line")))
            extras.add("table", lambda step=step: taken.append(step))
        assert extras.wait(30) == []
    assert taken == [1, 2]
    assert [r.getMessage() for r in caplog.records] == ["W&B did not take picture (no); the run folder has it"]


def test_the_name_of_an_artifact_is_one_that_wandb_takes():
    assert artifact_name("a b/ü.c_d-1") == "a-b--.c_d-1"
    assert len(artifact_name("x" * 200)) == 128
