"""`prospero wandb`: what reaches W&B's server by its real client, and mistakes in one line."""

import json
import os

import pytest
import yaml
from tests.training.wandb_server import WandbServer

from prospero.commands.wandb import wandb
from prospero.configuration.compose import compose
from prospero.errors import ConfigError

SWEEP = ["model=tiny,lstm_tiny", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "max_steps=5", "name=a b"]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no_config"))


@pytest.fixture
def server(monkeypatch):
    """A stand-in for W&B's server, that this process is sent to with a key."""
    import wandb as client

    client.teardown()
    server = WandbServer()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    yield server
    client.teardown()
    server.die()


@pytest.mark.processes
def test_the_workspace_has_its_six_sections(server, capsys):
    pytest.importorskip("wandb_workspaces", reason='needs pip install -e ".[wandb]"')
    assert wandb(["dashboard", "project=lab", "title=Models"]) == 0
    (view,) = server.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("us", "lab", "Models")
    sections = json.loads(view["spec"])["section"]["panelBankConfig"]["sections"]
    assert [part["name"] for part in sections] == ["Loss", "Stability", "Throughput", "Samples", "Evaluation", "System"]
    assert all(part["panels"] for part in sections)
    first = sections[0]["panels"][0]["config"]
    assert (first["metrics"], first["xAxis"]) == (["train/loss", "val/loss"], "step")
    assert "samples" in json.dumps(sections[3]["panels"][0])
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"saved: {server.url}/us/lab?nw=")


@pytest.mark.processes
def test_a_sweep_is_written_registered_and_run_by_the_words_of_train(server, tmp_path, capsys):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    file = tmp_path / "sweep.yaml"
    assert wandb(["sweep", *SWEEP, "project=lab", "title=first", "trials=3", f"file={file}"]) == 0
    written = yaml.safe_load(file.read_text())
    (registered,) = server.sweeps
    assert yaml.safe_load(registered) == written
    assert written["parameters"] == {
        "model": {"values": ["tiny", "lstm_tiny"]},
        "optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
    }
    assert (written["project"], written["method"], written["run_cap"], written["name"]) == ("lab", "bayes", 3, "first")
    assert written["metric"] == {"name": "val/loss", "goal": "minimize"}
    said = capsys.readouterr().out
    assert "wandb agent us/lab/sw33p" in said and "3 trials" in said
    # What an agent makes of it: our command, with a trial's values in the words of train.
    chosen = {"model": {"value": "lstm_tiny"}, "optimizer.lr": {"value": 0.00123}}
    words = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
    command = written["command"]
    assert command[:3] == ["${env}", "${interpreter}", "train.py"] and command[-1] == "${args_no_hyphens}"
    config = compose("train", [*command[3:-1], *words])
    assert (config.name, config.max_steps, config.optimizer.lr) == ("a b", 5, 0.00123)
    assert type(config.model).__name__ == "LSTMConfig" and "wandb" in config.logger


def test_without_a_key_a_sweep_is_only_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert wandb(["sweep", "seed=1,2", "outputs_dir=out", "entity=us"]) == 0
    (file,) = (tmp_path / "out" / "wandb_sweeps").iterdir()
    content = yaml.safe_load(file.read_text())
    assert content["command"][2:5] == ["-m", "prospero", "train"], "there is no train.py here"
    said = capsys.readouterr().out.splitlines()
    assert "(method grid, 2 trials, judged by val/loss, minimize)" in said[0]
    assert said[1].startswith("not registered (no key for W&B was found")
    assert said[1].endswith(f"wandb sweep --project prospero --entity us out/wandb_sweeps/{file.name}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Write prospero wandb dashboard | sweep"),
        (["dashbord"], "There is no 'wandb dashbord'. Did you mean 'dashboard'?"),
        (["dashboard"], "no key for W&B was found; run wandb login"),
        (["dashboard", "projct=x"], "There is no setting 'projct'. Did you mean 'project'?"),
        (["dashboard", "project=a/b"], "logger.wandb.project=a/b holds /"),
        (["dashboard", "url=https://wandb.ai/a/b", "title=x"], "give it alone"),
        (["sweep"], "no setting is swept"),
        (["sweep", "seed"], "'seed' is not a setting"),
        (["sweep", "seed=1,2", "method=bayess"], "method=bayess is not possible. Did you mean 'bayes'?"),
        (["sweep", "seed=1,2", "trials=0"], "trials=0 is not possible"),
        (["sweep", "seed=1,2", "register=maybe"], "register=maybe is not possible"),
        (["sweep", "seed=1,2", "register=true"], "register=true asks W&B's server, and no key"),
        (["sweep", "seed=1,2", "file="], "file= is empty"),
        (["sweep", "seed=1,2", "hydra.sweeper.n_trials=3"], "cannot be given to a sweep of W&B"),
        (["sweep", "seed=1,2", "run_dir=x"], "cannot be given to a sweep of W&B"),
        (["sweep", "seed=1,2", "data.access_token=abcdefgh"], "data.access_token= would stand in W&B for all to read"),
        (["sweep", "seed=1,2", "logger=tensorboard"], "report by the logger wandb"),
        (["sweep", "model=tiny,lstm_tinny"], "There is no model 'lstm_tinny'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        wandb(words)
    assert said in str(raised.value) and "abcdefgh" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_server_that_nobody_answers_for_is_one_line(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="cannot be reached"):
        wandb(["dashboard"])
