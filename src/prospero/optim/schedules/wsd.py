"""Warm-up, a long stable stretch at the peak, and a short decay: the trapezoid."""

import math
from dataclasses import dataclass
from enum import Enum

from prospero.errors import ConfigError
from prospero.optim.schedules.base import ScheduleConfig, check_share, progress


class DecayShape(Enum):
    """The curve of the last stretch."""

    linear = "linear"
    sqrt = "sqrt"


@dataclass(kw_only=True, slots=True)
class WSDConfig(ScheduleConfig):
    """Warm-up, stable, decay (Hu et al. 2024, arXiv:2404.06395; 1 - sqrt: Hägele et al. 2024, arXiv:2405.18392)."""

    decay_ratio: float = 0.2
    """Length of the decay as a share of the run's steps, rounded."""
    decay_shape: DecayShape = DecayShape.sqrt
    """linear: 1 - p; sqrt: 1 - sqrt(p), with p the progress of the decay."""
    min_lr_ratio: float = 0.0
    """The learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        ScheduleConfig.__post_init__(self)
        check_share("decay_ratio", self.decay_ratio)
        check_share("min_lr_ratio", self.min_lr_ratio)

    def check(self, total_steps: int) -> None:
        """Raise also when warm-up and decay together are longer than the run."""
        ScheduleConfig.check(self, total_steps)
        warmup, decay = self.warmup(total_steps), round(self.decay_ratio * total_steps)
        if warmup + decay > total_steps:
            raise ConfigError(
                f"warm-up of {warmup} and decay of {decay} steps do not fit into a run of {total_steps} steps; "
                f"lower warmup_steps or decay_ratio"
            )

    def shape(self, step: int, warmup: int, total_steps: int) -> float:
        """Return 1 until the decay begins, then its curve, raised to the floor."""
        decay_start = max(warmup, total_steps - round(self.decay_ratio * total_steps))
        if step < decay_start:
            return 1.0
        done = progress(step, decay_start, total_steps)
        left = 1 - (math.sqrt(done) if self.decay_shape is DecayShape.sqrt else done)
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * left
