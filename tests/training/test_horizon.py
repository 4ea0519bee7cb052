"""Length of a run, with exact numbers."""

import pytest

from prospero.errors import ConfigError, DataError
from prospero.training.horizon import UNLIMITED_STEPS, HorizonRecord, StepEstimate, steps_of_run


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ((10, None, None), 10),
        ((None, 1000, None), 10),
        ((None, 1001, None), 11),
        ((10, 500, None), 5),
        ((None, None, 2.0), UNLIMITED_STEPS),
        ((10, None, 2.0), 10),
    ],
)
def test_the_shortest_limit_counts(limits, steps):
    max_steps, max_tokens, max_minutes = limits
    assert (
        steps_of_run(max_steps=max_steps, max_tokens=max_tokens, max_minutes=max_minutes, tokens_per_step=100) == steps
    )


def test_a_run_needs_an_end():
    with pytest.raises(ConfigError, match="nothing ends this run"):
        steps_of_run(max_steps=None, max_tokens=None, max_minutes=None, tokens_per_step=1)
    with pytest.raises(ConfigError, match="max_tokens=0"):
        steps_of_run(max_steps=None, max_tokens=0, max_minutes=None, tokens_per_step=1)


@pytest.mark.parametrize(("max_flops", "max_steps", "steps"), [(6e9, None, 10), (6.1e9, None, 11), (6e9, 4, 4)])
def test_operations_are_steps_of_a_model(max_flops, max_steps, steps):
    limits = {"max_steps": max_steps, "max_tokens": None, "max_minutes": None, "max_flops": max_flops}
    assert steps_of_run(**limits, tokens_per_step=100, flops_per_token=6e6) == steps


def test_operations_that_are_not_counted_end_nothing():
    with pytest.raises(ConfigError, match="give max_tokens instead"):
        steps_of_run(max_steps=None, max_tokens=None, max_minutes=None, max_flops=1e9, tokens_per_step=100)


def test_the_estimate_leaves_out_the_slow_start_and_follows_the_speed():
    estimate = StepEstimate(100.0, 10**9, settle_steps=2)
    assert [estimate.update(step, seconds) for step, seconds in ((1, 30.0), (2, 31.0), (3, 32.0))] == [None, None, None]
    assert estimate.update(5, 36.0) == 5 + 32  # 2 s a step, 64 s left
    assert estimate.update(50, 100.0) == 51  # time is over: the next step is the last
    assert StepEstimate(100.0, 7).max_steps == 7


def test_the_estimates_are_kept_where_they_change_and_a_torn_line_is_left_out(tmp_path):
    record = HorizonRecord(tmp_path / "horizon.csv")
    assert record.read() == {}
    for step, total in ((5, 37), (6, 37), (7, 36)):
        record.add(step, total)
    assert record.read() == {5: 37, 7: 36}
    with open(record.path, "a") as file:
        file.write("8,3")
    assert record.read() == {5: 37, 7: 36}
    record.path.write_text("5;37\n")
    with pytest.raises(DataError, match=r"horizon\.csv is damaged"):
        record.read()
