"""When a run goes back: exact numbers."""

import json
import math
import random

import pytest

from prospero.errors import ConfigError
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_guard import StepGuard, StepRecord


def record(step: int, loss: float = 2.0, norm: float = 1.0) -> StepRecord:
    return StepRecord(step, loss, norm, 0.1, 4 * (step - 1), 4 * step)


def verdicts(guard: StepGuard, losses) -> list[int]:
    return [step for step, loss in enumerate(losses, start=1) if guard.read(record(step, loss)) is not None]


def test_only_steps_in_a_row_count_as_skipped_in_a_row():
    guard = StepGuard(GuardsConfig(max_skipped_in_row=3))
    nan = math.nan
    assert verdicts(guard, [2.0, nan, nan, 2.0, nan, nan, nan, 2.0]) == [7]
    assert guard.skipped == 5


def test_the_verdict_names_what_and_where():
    guard = StepGuard(GuardsConfig(max_skipped_in_row=1))
    assert guard.read(record(7, norm=math.inf)) == "the gradient is not finite at step 7"
    assert guard.first_bad_step == 7 and guard.bad[0].first == 24


def test_a_spike_is_measured_by_the_median_of_the_window():
    guard = StepGuard(GuardsConfig(spike_ratio=2.0, spike_window_steps=4, spike_steps=2))
    assert verdicts(guard, [100.0, 2.0, 2.0, 2.2, 4.3, 4.1, 4.3, 4.3]) == [8]  # above 4.2, twice the median 2.1
    assert guard.first_bad_step == 7


def test_noise_near_zero_and_a_window_that_is_not_full_are_no_spikes():
    guard = StepGuard(GuardsConfig(spike_ratio=3.0, spike_window_steps=8, spike_steps=1))
    assert verdicts(guard, [0.01] * 8 + [2.9]) == []
    assert verdicts(StepGuard(GuardsConfig(spike_window_steps=8)), [1.0] * 7 + [1e9]) == []


def test_the_running_median_is_the_median():
    generator, guard = random.Random(3), StepGuard(GuardsConfig(spike_ratio=1e9, spike_window_steps=7))
    losses = [generator.choice([1.0, 1.5, 2.0, generator.random()]) for _ in range(60)]
    for step, loss in enumerate(losses, start=1):
        guard.read(record(step, loss))
        window = sorted(losses[max(0, step - 7) : step])
        n = len(window)
        assert guard.median == (window[(n - 1) // 2] + window[n // 2]) / 2


def test_a_guard_that_is_saved_and_loaded_judges_alike():
    config = GuardsConfig(spike_ratio=2.0, spike_window_steps=5, spike_steps=3, max_skipped_in_row=2)
    losses = [2.0] * 6 + [9.0, 9.0, 9.0, 2.0, math.nan, math.nan]
    whole = verdicts(StepGuard(config), losses)
    for cut in range(len(losses)):
        first, second = StepGuard(config), StepGuard(config)
        found = verdicts(first, losses[:cut])
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        found += [cut + step for step in verdicts(second, losses[cut:])]
        assert found == whole == [9, 12]


def test_impossible_settings_are_refused():
    for wrong in ({"max_skipped_in_row": 0}, {"spike_ratio": 1.0}, {"max_rollbacks": -1}, {"spike_window_steps": 1}):
        with pytest.raises(ConfigError, match=f"trainer.guards.{next(iter(wrong))}"):
            GuardsConfig(**wrong)


def test_a_young_run_is_measured_by_its_first_loss():
    guard = StepGuard(GuardsConfig(spike_ratio=3.0, spike_window_steps=128, spike_steps=3))
    assert verdicts(guard, [5.0, 5.5, 14.9, 15.1, 15.1, 15.1]) == [6]
    assert verdicts(StepGuard(GuardsConfig(spike_steps=3)), [0.2, 2.9, 2.9, 2.9, 2.9]) == []


def test_a_run_that_ends_in_an_early_explosion_is_not_done():
    guard = StepGuard(GuardsConfig(spike_ratio=3.0, spike_window_steps=8))
    assert verdicts(guard, [5.0, 2e10]) == [] and guard.verdict_at_end() == (
        "the loss is 2e+10 at step 2, the last, above 3 x that of the first, 5"
    )
    assert verdicts(guard, [5.0]) == [] and guard.verdict_at_end() is None
    grown = StepGuard(GuardsConfig(spike_ratio=3.0, spike_window_steps=4))
    assert verdicts(grown, [5.0] * 6 + [40.0]) == [] and grown.verdict_at_end() is None


def test_the_term_that_is_not_finite_is_named():
    wrong = StepRecord(3, math.nan, 1.0, 0.1, 8, 12, "z_loss")
    assert wrong.what == "the loss, of its terms z_loss alone,"
    guard = StepGuard(GuardsConfig(max_skipped_in_row=1))
    assert guard.read(wrong) == "the loss, of its terms z_loss alone, is not finite at step 3"
