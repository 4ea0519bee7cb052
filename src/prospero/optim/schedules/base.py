"""What all schedules share: warm-up, a floor, and a scheduler whose horizon can be moved.

A schedule is a pure function ratio(step, total_steps): the factor of the peak learning rate at optimiser step `step`,
counted from 0. Warm-up step s of w has (s + 1) / w, so the first step is not lost and step w - 1 has the peak. The
decay's progress is (step - w) / (total_steps - w): 0 at step w, and 1 at `total_steps`, one past the last step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """Warm-up and floor; a schedule adds the shape in between."""

    warmup_steps: int | None = None
    """Optimiser steps of linear warm-up; null takes warmup_ratio of the run."""
    warmup_ratio: float = 0.02
    """Warm-up as a share of the run's steps, rounded; unused when warmup_steps is given."""

    def __post_init__(self) -> None:
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps={self.warmup_steps} cannot be; give 0 or more, or null for warmup_ratio")
        check_share("warmup_ratio", self.warmup_ratio)

    def warmup(self, total_steps: int) -> int:
        """Return the warm-up steps of a run of `total_steps`."""
        return round(self.warmup_ratio * total_steps) if self.warmup_steps is None else self.warmup_steps

    def check(self, total_steps: int) -> None:
        """Raise a ConfigError when the warm-up is longer than a run of `total_steps`."""
        if total_steps < 1:
            raise ConfigError(f"a schedule needs a run of 1 step or more, not {total_steps}")
        warmup = self.warmup(total_steps)
        if warmup > total_steps:
            raise ConfigError(f"warmup_steps={warmup} is longer than the run of {total_steps} steps; give at most that")

    def shape(self, step: int, warmup: int, total_steps: int) -> float:
        """Return the factor at a step after warm-up; each schedule has its own."""
        raise NotImplementedError

    def ratio(self, step: int, total_steps: int) -> float:
        """Return the factor of the peak learning rate at `step`, counted from 0."""
        warmup = self.warmup(total_steps)
        if step < warmup:
            return (step + 1) / warmup
        return self.shape(step, warmup, total_steps)

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> "ScheduledLR":
        """Return the scheduler of `optimizer` for a run of `total_steps`."""
        return ScheduledLR(optimizer, self, total_steps)


class ScheduledLR(LRScheduler):
    """Sets every group's learning rate to its own peak times the schedule's ratio; step it once an optimiser step.

    `total_steps` may be set at any time and counts from the next step on: a run that ends by the clock refines its
    horizon as it learns its speed. A horizon that shrinks below the present step means the end of the schedule, one
    shorter than the warm-up means no decay: an estimate never stops a run.
    Horizon and peak rates belong to the run and not to the checkpoint: a run resumed with others follows the new ones.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: ScheduleConfig, total_steps: int) -> None:
        schedule.check(total_steps)
        self.schedule = schedule
        self._total_steps = total_steps
        super().__init__(optimizer)

    @property
    def total_steps(self) -> int:
        """The optimiser steps of the whole run."""
        return self._total_steps

    @total_steps.setter
    def total_steps(self, value: int) -> None:
        self._total_steps = max(1, value)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Return the learning rate of each group at the present step."""
        ratio = self.schedule.ratio(self.last_epoch, self._total_steps)
        return [base * ratio for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Return the step and the peak rates, as plain values."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), "_last_lr": list(self._last_lr)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the saved step with this run's own peak rates and horizon, from the next step on.

        Call it after the optimiser's state is loaded, whose learning rates are those of then.
        """
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = self.last_epoch + 1
        for group, base, lr in zip(self.optimizer.param_groups, self.base_lrs, self.get_lr()):
            group["initial_lr"], group["lr"] = base, lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def progress(step: int, warmup: int, total_steps: int) -> float:
    """Return how much of the run after warm-up lies behind at `step`, from 0 to 1."""
    if total_steps <= warmup:
        return 1.0
    return min(1.0, (step - warmup) / (total_steps - warmup))


def check_share(name: str, value: float) -> None:
    """Raise unless `value` is a share, from 0 to 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}={value} is not a share of the whole; give a number from 0 to 1")
