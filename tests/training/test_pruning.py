"""A trial reports against tokens, and stops with all its ranks when others are better."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from prospero.evaluation.monitor import Monitor
from prospero.sweeps import study
from prospero.sweeps.study import StudySettings
from prospero.training.callbacks import pruning
from tests import programs
from tests.training.tiny import SEQ_LEN, TinyData, tiny_module, tiny_trainer

optuna = pytest.importorskip("optuna", reason='needs pip install -e ".[sweep]"')
ROOT = Path(__file__).resolve().parents[2]
TOKENS = 4 * SEQ_LEN  # of one step
SETTINGS = StudySettings(min_tokens=TOKENS, reduction_factor=2, metric="val/loss")


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "study.journal"


def other_trial(journal, value, settings=SETTINGS):
    """A trial of before that reported `value` at every step."""
    opened = study.open_study(journal, settings)
    trial = opened.ask()
    for step in range(1, 13):
        trial.report(value, step=step * TOKENS)
        trial.should_prune()
    opened.tell(trial, value)


def start_trial(journal, settings=SETTINGS):
    """Return the variables that make a process the next trial."""
    trial = study.open_study(journal, settings).ask()
    return study.trial_environment(journal, trial.number, settings)


def fit(tmp_path):
    callbacks = pruning.from_environment(Monitor())
    trainer = tiny_trainer(tmp_path, max_steps=8, val_every_steps=2, callbacks=callbacks)
    module = tiny_module()
    trainer.fit(module, datamodule=TinyData())
    return trainer, module, callbacks


def test_outside_a_search_there_is_no_callback(monkeypatch):
    monkeypatch.delenv(study.TRIAL_VARIABLE, raising=False)
    assert pruning.from_environment(Monitor()) == []


def test_validations_are_reported_against_tokens_and_a_good_trial_trains_to_its_end(journal, tmp_path, monkeypatch):
    other_trial(journal, 99.0)
    for name, value in start_trial(journal).items():
        monkeypatch.setenv(name, value)
    trainer, module, (callback,) = fit(tmp_path)
    reported = study.open_study(journal, SETTINGS).trials[1].intermediate_values
    assert list(reported) == [step * TOKENS for step in (2, 4, 6, 8)]
    assert reported[8 * TOKENS] == pytest.approx(module.state.metrics["val/loss"])
    assert trainer.global_step == 8 and callback.result() == {} and module.state.stop_reason == "max_steps"


def test_a_trial_behind_the_others_stops_and_says_so(journal, tmp_path, monkeypatch):
    other_trial(journal, 0.001)
    for name, value in start_trial(journal).items():
        monkeypatch.setenv(name, value)
    trainer, module, (callback,) = fit(tmp_path)
    assert trainer.global_step == 2 and callback.result() == {"status": "PRUNED"}
    assert module.state.stop_reason.startswith(f"pruned: after {2 * TOKENS} tokens")


@pytest.mark.parametrize(("others", "steps"), [(0.001, 8), (99.0, 2)])
def test_a_search_that_maximises_stops_the_smaller(others, steps, journal, tmp_path, monkeypatch):
    settings = replace(SETTINGS, metric="val/bits_per_byte", direction="maximize")
    other_trial(journal, others, settings)
    for name, value in start_trial(journal, settings).items():
        monkeypatch.setenv(name, value)
    trainer, module, _ = fit(tmp_path)
    reported = study.open_study(journal, settings).trials[1].intermediate_values
    assert trainer.global_step == steps == max(reported) // TOKENS
    assert reported[steps * TOKENS] == pytest.approx(module.state.metrics["val/bits_per_byte"])


def test_a_number_that_is_not_there_is_not_stood_in_for(journal, tmp_path, monkeypatch):
    settings = replace(SETTINGS, metric="val/accuracy", direction="maximize")
    other_trial(journal, 99.0, settings)
    for name, value in start_trial(journal, settings).items():
        monkeypatch.setenv(name, value)
    assert fit(tmp_path)[0].global_step == 8
    assert study.open_study(journal, settings).trials[1].intermediate_values == {}


def test_a_resumed_trial_does_not_report_twice(journal, tmp_path, monkeypatch):
    other_trial(journal, 99.0)
    for name, value in start_trial(journal).items():
        monkeypatch.setenv(name, value)
    fit(tmp_path / "a")
    before = study.open_study(journal, SETTINGS).trials[1].intermediate_values
    fit(tmp_path / "b")
    assert study.open_study(journal, SETTINGS).trials[1].intermediate_values == before


@pytest.mark.processes
def test_two_ranks_stop_at_the_same_step_and_only_the_first_opens_the_journal(journal, tmp_path):
    other_trial(journal, 0.001)
    code = (
        "import json, sys, torch\n"
        "from pathlib import Path\n"
        "torch.set_num_threads(1)\n"
        "from prospero.evaluation.monitor import Monitor\n"
        "from prospero.training.callbacks import pruning\n"
        "from prospero.training.trainer import StrategyName\n"
        "from tests.training.tiny import TinyData, tiny_module, tiny_trainer\n"
        "folder = Path(sys.argv[1])\n"
        "callbacks = pruning.from_environment(Monitor())\n"
        "trainer = tiny_trainer(folder, max_steps=8, val_every_steps=2, callbacks=callbacks, devices=2,\n"
        "                       strategy=StrategyName.ddp)\n"
        "trainer.fit(tiny_module(), datamodule=TinyData(4, 2))\n"
        "seen = [trainer.global_step, callbacks[0].pruned, callbacks[0].trial is not None]\n"
        "(folder / f'{trainer.global_rank}.json').write_text(json.dumps(seen))\n"
    )
    script = tmp_path / "ranks.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **start_trial(journal)}
    done = programs.run(
        [sys.executable, str(script), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "0.json").read_text()) == [2, True, True]
    assert json.loads((tmp_path / "1.json").read_text()) == [2, True, False]
