"""A module outside the package brings parts of its own, which do all that ours do; a mistake in it is one line."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prospero import cli, registry
from tests import programs

ROOT = Path(__file__).parent.parent
LAB = ["plugins=[my_lab]", "data=dice", "cleaning=[shout]", "tokenizer=byte", "split=tail", "model=bigram_wide"]
LAB += ["optimizer=sign_sgd", "schedule=constant", "regularizers=[quartic]", "callbacks=[checkpoints,diary]"]
LAB += ["seq_len=32", "global_batch_size=4", "trainer.accelerator=cpu", "trainer.precision=float32"]
LAB += ["trainer.log_every_steps=1", "loss=[cross_entropy,miss]", "metrics=[loss,confidence]", "monitor=val/confidence"]
EXPERIMENT = ["--config-dir", "conf", "experiment=dice"]


def program(folder: Path, verb: str, *words: str) -> str:
    """Run a verb in `folder`; return what it printed."""
    return run_program(folder, verb, *words).stdout


def run_program(folder: Path, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROSPERO_")}
    command = [sys.executable, str(ROOT / f"{verb}.py"), *words]
    done = programs.run(command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with the user's module and the presets beside it."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "tests" / "plugins", folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def trained(lab):
    program(lab, "train", *LAB, "max_steps=4", "run_dir=first")
    return lab / "first"


@pytest.mark.processes
class TestALaboratory:
    def test_a_run_has_every_part(self, trained):
        config = (trained / "config.yaml").read_text()
        assert "plugins:\n- my_lab\n" in config and "/schema/model/bigram@model" in config
        described = json.loads((trained / "model" / "config.json").read_text())["model"]
        assert described["name"] == "bigram" and described["settings"] == {"d_model": 32}
        first = {name: float(value) for name, value in rows(trained)[0].items() if value}
        assert first["train/loss/quartic"] > 0 and 0.9 < first["train/loss/miss"] < 1
        assert (trained / "diary.txt").read_text().split() == ["0", "1", "2", "3"]
        assert "300 sentences" in (trained / "receipt.json").read_text()

    def test_its_loss_and_its_metric_judge_the_run(self, trained):
        result = json.loads((trained / "result.json").read_text())
        assert (result["objective_name"], result["objective_direction"]) == ("val/confidence", "maximize")
        assert result["objective"] == result["val/confidence"] and 0 < result["val/confidence"] < 1
        assert {name for name in result if "/" in name} == {"val/loss", "val/confidence"}
        # val/loss is training's own: nats + 1 - confidence. exp of the mean is at most the mean of exp (Jensen).
        nats = result["val/loss"] - 1 + result["val/confidence"]
        assert math.exp(-nats) <= result["val/confidence"]

    def test_its_model_writes_text(self, lab, trained):
        written = program(lab, "generate", "plugins=[my_lab]", "run=first", "prompt=ONE", "sampling.max_new_tokens=5")
        assert written.startswith("ONE")

    def test_its_config_is_run_again_and_goes_on(self, lab, trained):
        words = ["--config-dir", "first", "--config-name", "config", "run_dir=again", "max_steps=3"]
        said = run_program(lab, "train", *words).stderr
        assert said.count(f"imported my_lab, which {lab / 'first' / 'config.yaml'} names in plugins") == 1
        program(lab, "train", *LAB, "run_dir=again", "max_steps=4", "resume=auto")
        assert [row["train/loss"] for row in rows(lab / "again")] == [row["train/loss"] for row in rows(trained)]
        assert not list(lab.glob("*.log")), "Hydra writes no log of its own"

    @pytest.mark.deep
    def test_a_sweep_gives_it_to_every_job(self, lab, trained):
        program(lab, "train", *LAB, "-m", "optimizer.lr=0.01,0.02", "max_steps=4", "hydra.sweep.dir=swept")
        losses = [[row["train/loss"] for row in rows(lab / "swept" / job)] for job in ("0", "1")]
        assert losses[0] == [row["train/loss"] for row in rows(trained)] and losses[0] != losses[1]
        with open(lab / "swept" / "sweep.csv", newline="") as file:
            confidences = [float(row["objective"]) for row in csv.DictReader(file)]
        assert confidences == sorted(confidences, reverse=True) and confidences[0] > confidences[1]

    @pytest.mark.parametrize(
        "words",
        [pytest.param(LAB, id="fsdp", marks=pytest.mark.deep), pytest.param(EXPERIMENT, id="ddp by an experiment")],
    )
    def test_two_processes_equal_one(self, lab, trained, words):
        """The one word of an experiment, which names the plugin, is all the words of the command line."""
        strategy = "fsdp" if words is LAB else "ddp"
        two = [f"trainer={strategy}", "trainer.devices=2", "trainer.accelerator=cpu"]
        program(lab, "train", *words, *two, "max_steps=4", f"run_dir={strategy}")
        ours = [float(row["train/loss"]) for row in rows(lab / strategy) if row["train/loss"]]
        theirs = [float(row["train/loss"]) for row in rows(trained) if row["train/loss"]]
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert (lab / strategy / "config.yaml").read_text().count("- my_lab") == 1


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run `train` in this process in a folder of its own; return (exit code, standard output, error lines)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "ADDED", {})
    modules, path = set(sys.modules), list(sys.path)

    def run(*words, verb="train"):
        with pytest.raises(SystemExit) as left:
            cli.main(verb, list(words))
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    yield run
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.heavy
def test_help_lists_its_parts_and_shows_their_settings(said, tmp_path):
    shutil.copytree(ROOT / "tests" / "plugins", tmp_path, dirs_exist_ok=True)
    _, out, _ = said("plugins=[my_lab]", "--help")
    assert "bigram, bigram_wide, " in out and "sign_sgd" in out and "*stdlib," in out
    _, out, _ = said("plugins=[my_lab]", "optimizer=sign_sgd", "--help", "model=bigram_wide", "callbacks=[diary]")
    assert "model=bigram_wide: A bigram of width 32" in out
    assert "  model.d_model=32" in out and "Width of the embedding." in out
    assert "optimizer=sign_sgd: Sign SGD (Bernstein et al. 2018" in out and "Size of every weight's step." in out
    assert "  callbacks.diary.file=diary.txt" in out
    _, out, _ = said("--config-dir", "conf", "experiment=dice", "--help")
    assert "experiment=dice: The whole laboratory in one word" in out and "max_steps=4" in out


GOOD = """from dataclasses import dataclass
from prospero.registry import register
@dataclass(kw_only=True, slots=True)
class MineConfig:
    lr: float = 0.5
    def build(self, model): ...
register("optimizer", "mine", MineConfig)
"""

BROKEN = [
    ("1 / 0", "plugins: mine cannot be imported: ZeroDivisionError: division by zero (mine.py, line 1)"),
    ("import surely_not_there", "No module named 'surely_not_there' (mine.py, line 1)"),
    ("def f(:", "plugins: mine cannot be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
    ("raise SystemExit(3)", "plugins: mine cannot be imported: SystemExit: 3 (mine.py, line 1)"),
    (GOOD.replace('"optimizer", "mine"', '"optimiser", "mine"'), "There is no group 'optimiser'. Did you mean"),
    (GOOD.replace('"mine"', '"adamw"'), "The group 'optimizer' already has a part called 'adamw'"),
    (GOOD.replace(", slots=True", ""), "mine:MineConfig cannot be the settings of a part; write @dataclass("),
    (GOOD.replace("kw_only=True, ", ""), "write @dataclass(kw_only=True, slots=True) above it"),
    (GOOD.replace("@dataclass(kw_only=True, slots=True)", ""), "write @dataclass(kw_only=True, slots=True) above it"),
    (GOOD.replace("def build(self, model)", "def make(self)"), "plugins: mine:MineConfig has no method build(model)"),
    (GOOD.replace("self, model", "self, net"), "has build(net); a part of optimizer has build(model)"),
    (GOOD.replace("lr: float", "lr: complex"), "plugins: mine:MineConfig cannot hold settings: "),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), BROKEN, ids=[expected[-40:] for _, expected in BROKEN])
def test_a_broken_plugin_is_one_line(said, tmp_path, source, expected):
    (tmp_path / "mine.py").write_text(source)
    code, _, errors = said("plugins=[mine]", "--cfg", "job")
    assert code == 2 and errors.count("\n") == 1 and expected in errors, errors
    assert registry.ADDED == {}, "nothing of it stays"


@pytest.mark.parametrize("name", ["../evil", "no_such_module", "=3", "mine.inner"])
def test_a_name_that_is_no_module_is_one_line(said, tmp_path, name):
    (tmp_path / "mine.py").write_text(GOOD)
    code, _, errors = said(f"plugins=[{name}]", "--cfg", "job")
    assert code == 2 and errors.startswith("error: plugins: ") and errors.count("\n") == 1, errors


def test_debug_shows_where_a_plugin_broke(said, tmp_path):
    (tmp_path / "mine.py").write_text("1 / 0")
    with pytest.raises(registry.ConfigError) as raised:
        cli.main("train", ["plugins=[mine]", "debug=traceback"])
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.heavy
def test_a_typo_in_its_settings_gets_a_suggestion(said, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    code, _, errors = said("plugins=[mine]", "optimizer=mine", "optimizer.lrr=1")
    assert code == 2 and "There is no setting 'optimizer.lrr'. Did you mean 'optimizer.lr'?" in errors
    code, _, errors = said("plugins=[mine]", "optimizer=mien")
    assert code == 2 and "Did you mean 'mine'?" in errors
