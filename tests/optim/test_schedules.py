"""Exact numbers at the boundaries of every schedule; the scheduler's horizon and state."""

import io
import math

import pytest
import torch
from torch import nn

from prospero.errors import ConfigError
from prospero.optim.schedules.base import ScheduleConfig
from prospero.optim.schedules.constant import ConstantConfig
from prospero.optim.schedules.cosine import CosineConfig
from prospero.optim.schedules.inverse_sqrt import InverseSqrtConfig
from prospero.optim.schedules.linear import LinearConfig
from prospero.optim.schedules.wsd import DecayShape, WSDConfig

ALL = [ConstantConfig, LinearConfig, CosineConfig, WSDConfig, InverseSqrtConfig]


@pytest.mark.parametrize("kind", ALL)
def test_warm_up_loses_no_step_and_reaches_the_peak(kind):
    schedule = kind(warmup_steps=4)
    assert [schedule.ratio(step, 100) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("schedule", "total", "expected"),
    [
        (ConstantConfig(warmup_steps=0), 10, {0: 1, 5: 1, 10: 1, 99: 1}),
        (LinearConfig(warmup_steps=2), 12, {2: 1, 7: 0.5, 11: 0.1, 12: 0, 99: 0}),
        (LinearConfig(warmup_steps=2, min_lr_ratio=0.5), 12, {2: 1, 7: 0.75, 12: 0.5}),
        (CosineConfig(warmup_steps=2, min_lr_ratio=0.0), 12, {2: 1, 7: 0.5, 12: 0, 99: 0}),
        (CosineConfig(warmup_steps=0, min_lr_ratio=0.1), 6, {0: 1, 2: 0.1 + 0.9 * 0.75, 6: 0.1}),
        (WSDConfig(warmup_steps=2, decay_shape=DecayShape.linear), 20, {2: 1, 15: 1, 16: 1, 17: 0.75, 19: 0.25, 20: 0}),
        (WSDConfig(warmup_steps=2), 20, {16: 1, 17: 0.5, 19: 1 - math.sqrt(0.75), 20: 0, 99: 0}),
        (WSDConfig(warmup_steps=0, decay_ratio=0.0), 10, {0: 1, 9: 1}),
        (InverseSqrtConfig(warmup_steps=4), 100, {3: 1, 15: 0.5, 99: 0.2}),
        (InverseSqrtConfig(warmup_steps=4, min_lr_ratio=0.3), 100, {15: 0.5, 99: 0.3}),
        (InverseSqrtConfig(warmup_steps=0), 100, {0: 1, 3: 0.5}),
    ],
)
def test_ratio(schedule, total, expected):
    assert {step: schedule.ratio(step, total) for step in expected} == pytest.approx(expected)


def test_warm_up_by_share_and_by_steps():
    assert ConstantConfig(warmup_ratio=0.1).warmup(50) == 5
    assert ConstantConfig(warmup_ratio=0.1, warmup_steps=7).warmup(50) == 7


@pytest.mark.parametrize("kind", ALL)
def test_a_warm_up_longer_than_the_run_is_refused(kind):
    with pytest.raises(ConfigError, match="warmup_steps=11 is longer than the run of 10 steps"):
        build(kind(warmup_steps=11), 10)


def test_warm_up_and_decay_must_fit_together():
    build(WSDConfig(warmup_steps=8), 10)
    with pytest.raises(ConfigError, match="do not fit"):
        build(WSDConfig(warmup_steps=9), 10)


def test_impossible_settings_name_themselves():
    for settings in ({"warmup_steps": -1}, {"warmup_ratio": 1.5}, {"min_lr_ratio": -0.1}, {"decay_ratio": math.nan}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            WSDConfig(**settings)


def build(schedule: ScheduleConfig, total_steps: int):
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 0.1}])
    return schedule.build(optimizer, total_steps)


def run(scheduler, steps: int) -> list[float]:
    """Learning rates of the next steps, as the optimiser sees them."""
    seen = []
    for _ in range(steps):
        seen.append(scheduler.optimizer.param_groups[0]["lr"])
        assert scheduler.optimizer.param_groups[1]["lr"] == pytest.approx(0.1 * seen[-1])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_the_first_step_sees_the_first_ratio_and_the_last_step_the_last():
    schedule = LinearConfig(warmup_steps=2)
    assert run(build(schedule, 6), 6) == pytest.approx([schedule.ratio(step, 6) for step in range(6)])


def test_a_horizon_may_move():
    scheduler = build(LinearConfig(warmup_steps=0), 10)
    run(scheduler, 4)
    scheduler.total_steps = 20
    scheduler.step()
    assert scheduler.get_last_lr()[0] == pytest.approx(1 - 5 / 20)
    scheduler.total_steps = 3
    scheduler.step()
    assert scheduler.get_last_lr() == [0.0, 0.0]


def test_a_horizon_shorter_than_the_warm_up_does_not_stop_a_run():
    scheduler = build(WSDConfig(warmup_steps=5), 100)
    scheduler.total_steps = 2
    assert run(scheduler, 4) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_the_state_is_plain_and_goes_on_where_it_was():
    scheduler = build(CosineConfig(), 50)
    run(scheduler, 7)
    buffer = io.BytesIO()
    torch.save(scheduler.state_dict(), buffer)
    buffer.seek(0)
    resumed = build(CosineConfig(), 50)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    resumed.optimizer.load_state_dict(scheduler.optimizer.state_dict())
    assert run(resumed, 20) == run(scheduler, 20)
