"""The search: Hydra's grammar as distributions, trials told how they ended, pruning, and going on after a kill."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_plugins.prospero_optuna_sweeper import search_space
from hydra_plugins.prospero_optuna_sweeper.optuna_sweeper import judged
from prospero import cli
from prospero.configuration.composition import composed
from prospero.configuration.swept import chosen_from
from prospero.errors import ConfigError
from prospero.evaluation.metrics.accuracy import Accuracy
from prospero.sweeps import study
from prospero.sweeps.study import StudySettings
from tests.sweeps.fakes import starts

pytestmark = pytest.mark.processes

optuna = pytest.importorskip("optuna", reason='needs pip install -e ".[sweep]"')
ROOT = Path(__file__).parent.parent.parent
LR = "optimizer.lr=tag(log,interval(1e-5,1e-1))"


def distribution(word):
    return search_space.distribution(chosen_from(OverridesParser.create().parse_override(word)))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a=tag(log,interval(1e-4,1e-2))", optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)),
        ("a=interval(1,10)", optuna.distributions.FloatDistribution(1, 10)),
        ("a=int(interval(1,10))", optuna.distributions.IntDistribution(1, 10)),
        ("a=int(tag(log,interval(1,16)))", optuna.distributions.IntDistribution(1, 16, log=True)),
        ("a=range(1,10,3)", optuna.distributions.IntDistribution(1, 7, step=3)),
        ("a=range(10,1,-3)", optuna.distributions.IntDistribution(4, 10, step=3)),
        ("a=range(0.5,2,0.5)", optuna.distributions.FloatDistribution(0.5, 1.5, step=0.5)),
        ("a=tag(log,range(1,9))", optuna.distributions.IntDistribution(1, 8, log=True)),
        ("a=tiny,small", optuna.distributions.CategoricalDistribution(["tiny", "small"])),
        ("a=choice(1,2.5,'x y')", optuna.distributions.CategoricalDistribution(["1", "2.5", r"x\ y"])),
        ("+a=true,false", optuna.distributions.CategoricalDistribution(["True", "False"])),
    ],
)
def test_the_grammar_of_sweeps_becomes_distributions(word, expected):
    assert distribution(word) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a=interval(2,1)", "from the smaller number to the larger"),
        ("a=tag(log,interval(0,1))", "begins above 0"),
        ("a=int(tag(log,interval(0,9)))", "at 1 or more"),
        ("a=range(5,1)", "holds no number"),
        ("a=tag(lgo,interval(1,2))", "Did you mean 'log'?"),
        ("a=tag(log,choice(1,2))", "not for a list"),
        ("a=tag(log,range(0.1,1,0.1))", r"write tag\(log,interval"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_one_line(word, expected):
    with pytest.raises(ConfigError, match=expected):
        distribution(word)


def run(*words, capsys):
    """Run a command in this process; return exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as left:
        cli.main("train", ["-m", "hydra/sweeper=optuna", *words])
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The fake in the place of train.py, and a folder for its sweeps."""
    shutil.copy(Path(__file__).parent / "fake_trial.py", tmp_path / "train.py")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(folder):
    with open(folder / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["hydra.sweeper.n_trials=0", LR], "hydra.sweeper.n_trials=0 must be at least 1"),
        (["hydra.sweeper.n_trial=3", LR], "Did you mean 'hydra.sweeper.n_trials'?"),
        (["hydra.sweeper.sampler=tpee", LR], "Did you mean 'tpe'?"),
        (["hydra.sweeper.sampler=grid", LR], "is an interval, which hydra.sweeper.sampler=grid cannot count"),
        (["hydra.sweeper.pruner=hyperband", LR], "needs hydra.sweeper.min_tokens"),
        (["hydra.sweeper.metric=gain", "hydra.sweeper.direction=maximize", LR], "give hydra.sweeper.pruner=none"),
        (["hydra.sweeper.metric=gain", LR], "give hydra.sweeper.direction=minimize or maximize"),
        (["hydra.sweeper.direction=maximise", LR], "Did you mean 'maximize'?"),
        (["hydra.sweeper.direction=minimize", "monitor=val/accuracy", LR], "val/accuracy is to maximize; leave"),
        (["hydra.sweeper.metric=val/bits_per_bite", LR], "Did you mean 'val/bits_per_byte'?"),
        (["hydra.sweeper.metric=test/accuracy", LR], "val/loss says nothing about what is to maximize; give"),
        (["monitor=val/accurracy", LR], "monitor=val/accurracy is not measured. Did you mean 'val/accuracy'?"),
        (["monitor=val/loss,val/accuracy", LR], "judged by different numbers (monitor=val/accuracy,val/loss)"),
        (["optimizer.lr=1e-3"], "no setting is searched"),
        (["optimizer.lr=1e-4..1e-2"], "optimizer.lr is a number"),
        (["model=tiny,smal"], "Did you mean 'small'?"),
        (["hydra.launcher.slot=2", LR], "Did you mean 'hydra.launcher.slots'?"),
        (["hydra.launcher.slots=0", LR], "hydra.launcher.slots=0 must be at least 1"),
        (["hydra/launcher=basic", LR], "use hydra/launcher=process"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(words, expected, fake, capsys):
    code, _, errors = run(*words, capsys=capsys)
    assert code == 2 and errors.count("error: ") == 1 and expected in errors, errors
    assert not list(fake.glob("outputs/sweeps/*/*/"))


def test_a_missing_optuna_is_one_line(fake, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "optuna")
    monkeypatch.setattr(sys, "meta_path", [NoOptuna(), *sys.meta_path])
    code, _, errors = run(LR, capsys=capsys)
    assert code == 2 and 'pip install -e ".[sweep]"' in errors


class NoOptuna:
    """Import machinery of a machine without Optuna."""

    def find_spec(self, name, path=None, target=None):
        if name == "optuna":
            raise ModuleNotFoundError("No module named 'optuna'", name="optuna")


def test_a_search_ends_with_the_table_and_the_best_command(fake, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_CRASH", "2e-2")
    words = [LR, "model=tiny,small", "hydra.sweeper.n_trials=8", "hydra.launcher.slots=2", "hydra.sweep.dir=s"]
    with pytest.raises(SystemExit) as left:
        cli.main("train", ["-m", "hydra/sweeper=optuna", *words])
    out = capsys.readouterr().out
    assert left.value.code == 0, out
    table = rows(fake / "s")
    assert len(table) == 8 and [row["status"] for row in table].count("FAILED") >= 1
    done = [float(row["objective"]) for row in table if row["status"] == "DONE"]
    assert done == sorted(done)
    best = shlex.split(out.splitlines()[-1])
    assert best[:2] == ["python", "train.py"] and f"optimizer.lr={table[0]['optimizer.lr']}" in best
    states = [trial.state.name for trial in study.open_study(fake / "s" / "study.journal", StudySettings()).trials]
    assert states.count("FAIL") == [row["status"] for row in table].count("FAILED")
    assert states.count("COMPLETE") == len(done)


def test_a_metric_by_name_may_be_maximised(fake, capsys):
    words = [LR, "hydra.sweeper.n_trials=4", "hydra.sweep.dir=s", "hydra.sweeper.pruner=none"]
    code, out, _ = run(*words, "hydra.sweeper.metric=gain", "hydra.sweeper.direction=maximize", capsys=capsys)
    values = [float(row["objective"]) for row in rows(fake / "s")]
    assert code == 0 and values == sorted(values, reverse=True) and max(values) < 0 and "gain" in out


def test_a_search_follows_the_monitor_and_its_direction(fake, capsys):
    words = [LR, "monitor=val/accuracy", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=s"]
    code, out, _ = run(*words, capsys=capsys)
    table = rows(fake / "s")
    values = [float(row["objective"]) for row in table]
    assert code == 0 and values == sorted(values, reverse=True) and len(set(values)) == 4
    assert f"best: trial {table[0]['job']}, val/accuracy {values[0]:.4f}" in out
    opened = study.open_study(fake / "s" / "study.journal", StudySettings())
    assert opened.direction is optuna.study.StudyDirection.MAXIMIZE
    assert opened.best_trial.number == int(table[0]["job"]) and opened.best_value == values[0]


@pytest.mark.parametrize(
    ("settings", "words", "expected"),
    [
        ({}, [], "minimize"),
        ({}, ["monitor=val/accuracy"], "maximize"),
        ({"metric": "val/accuracy"}, [], "maximize"),
        ({"metric": "val/bits_per_byte"}, ["monitor=val/accuracy"], "minimize"),
        ({"metric": "val/loss_by_position/0"}, ["metrics=[loss_by_position]"], "minimize"),
        ({"metric": "seconds", "direction": "maximize", "pruner": "none"}, [], "maximize"),
        ({"metric": "seconds", "direction": "maximize"}, ["monitor=val/accuracy"], "maximize"),
    ],
)
def test_the_metric_says_the_direction(settings, words, expected):
    configs = [composed("train", [*words, "seed=1"]), composed("train", [*words, "seed=2"])]
    assert judged(StudySettings(**settings), configs).direction == expected


def test_the_metric_of_a_plugin_says_its_direction():
    @dataclass(kw_only=True, slots=True)
    class HitsConfig:
        def build(self, facts):
            return Accuracy()

    config = composed("train", [])
    config.metrics = OmegaConf.structured({"hits": OmegaConf.structured(HitsConfig)})
    assert judged(StudySettings(metric="val/hits"), [config]).direction == "maximize"


def test_what_is_searched_may_stand_in_a_file(fake, capsys):
    (fake / "conf").mkdir()
    (fake / "conf" / "search.yaml").write_text(
        "defaults: [train, {override hydra/sweeper: optuna}, _self_]\n"
        "hydra: {sweeper: {n_trials: 2, params: {optimizer.lr: 'tag(log,interval(1e-4,1e-2))'}}}\n"
    )
    with pytest.raises(SystemExit) as left:
        cli.main("train", ["-m", "--config-dir", "conf", "--config-name", "search", "hydra.sweep.dir=s", "seed=3"])
    assert left.value.code == 0, capsys.readouterr().err
    assert len({row["optimizer.lr"] for row in rows(fake / "s")}) == 2
    words = starts(fake / "s" / "0")[0]["words"]
    assert words[:4] == ["--config-dir", "conf", "--config-name", "search"] and "seed=3" in words


def test_an_unknown_metric_is_named_with_those_that_there_are(fake, capsys):
    words = ["hydra.sweeper.metric=distanse", "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=5"]
    code, _, errors = run(LR, *words, capsys=capsys)
    assert code == 2 and "Did you mean 'distance'?" in errors and "gain" in errors


def test_grid_runs_each_combination_once(fake, capsys):
    words = ["optimizer.lr=1e-4,1e-3,1e-2", "model.n_layers=range(1,3)", "hydra.sweeper.sampler=grid"]
    code, _, _ = run(*words, "hydra.sweeper.n_trials=50", "hydra.sweep.dir=s", capsys=capsys)
    chosen = {(row["optimizer.lr"], row["model.n_layers"]) for row in rows(fake / "s")}
    assert code == 0 and len(rows(fake / "s")) == 6 and len(chosen) == 6


def test_trials_behind_the_others_are_pruned_by_their_own_processes(fake, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_REPORTS", "1")
    words = [LR, "hydra.sweeper.n_trials=6", "hydra.sweeper.min_tokens=100", "hydra.sweeper.reduction_factor=2"]
    code, out, _ = run(*words, "hydra.sweeper.sampler=random", "hydra.sweep.dir=s", capsys=capsys)
    trials = study.open_study(fake / "s" / "study.journal", StudySettings()).trials
    pruned = [trial for trial in trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert code == 0 and pruned and "PRUNED" in out
    assert all(max(trial.intermediate_values) < 800 for trial in pruned)
    best = min(trials, key=lambda trial: abs(trial.values[0]))
    assert best.state is optuna.trial.TrialState.COMPLETE


@pytest.mark.processes
def test_a_killed_search_goes_on_as_if_nobody_had_killed_it(fake, capsys):
    """Same trials, same order; the trial that ran when the kill came keeps its number and its folder."""
    words = [LR, "hydra.sweeper.n_trials=5", "hydra.sweeper.seed=4"]
    run(*words, "hydra.sweep.dir=whole", capsys=capsys)
    script = str(fake / "train.py")
    program = f"import sys; sys.argv[0] = {script!r}\nfrom prospero import cli\ncli.main('train', sys.argv[1:])"
    command = [sys.executable, "-c", program, "-m", "hydra/sweeper=optuna", *words, "hydra.sweep.dir=killed"]
    environment = {**os.environ, "FAKE_SLOW": "2"}
    process = subprocess.Popen(command, env=environment, cwd=fake, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (fake / "killed" / "2" / "starts.jsonl").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    code, out, _ = run(*words, "hydra.sweep.dir=killed", capsys=capsys)
    assert code == 0 and "continuing 5 trials" in out and "2 already over" in out

    def trials(name):
        return [trial.params for trial in study.open_study(fake / name / "study.journal", StudySettings()).trials]

    assert trials("killed") == trials("whole") and len(trials("killed")) == 5
    assert [len(starts(fake / "killed" / str(number))) for number in range(5)] == [1, 1, 2, 1, 1]


def test_a_line_of_the_journal_that_a_kill_cut_short_is_dropped(tmp_path):
    journal = tmp_path / "study.journal"
    study.open_study(journal, StudySettings()).ask()
    with open(journal, "a") as file:
        file.write('{"op_code":5,"wor')
    opened = study.open_study(journal, StudySettings())
    opened.ask()
    assert len(study.open_study(journal, StudySettings()).trials) == 2


@pytest.mark.processes
def test_composing_imports_neither_optuna_nor_torch():
    code = (
        "import sys\nfrom prospero import cli\n"
        "try: cli.main('train', ['-m', 'hydra/sweeper=optuna', 'hydra.sweeper.n_trials=0', 'seed=1,2'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'optuna', 'torch', 'lightning'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_trial_of_a_job_is_rebuilt_from_the_journal(tmp_path, monkeypatch):
    settings = StudySettings(pruner="none", metric="val/loss")
    journal = tmp_path / "study.journal"
    opened = study.open_study(journal, settings)
    opened.ask()
    asked = opened.ask({"lr": optuna.distributions.FloatDistribution(0, 1)})
    for name, value in study.trial_environment(journal, asked.number, settings).items():
        monkeypatch.setenv(name, value)
    found = study.trial_of_environment()
    assert found is not None
    trial, read = found
    trial.report(2.5, step=1000)
    assert read == settings and json.loads(os.environ[study.TRIAL_VARIABLE])["number"] == 1
    assert opened.get_trials()[1].intermediate_values == {1000: 2.5} and trial.params == asked.params
