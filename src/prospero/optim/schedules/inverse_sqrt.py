"""Warm-up, then decay with one over the root of the step: needs no horizon."""

import math
from dataclasses import dataclass

from prospero.optim.schedules.base import ScheduleConfig, check_share


@dataclass(kw_only=True, slots=True)
class InverseSqrtConfig(ScheduleConfig):
    """Inverse square root of the step, from the end of warm-up on (Vaswani et al. 2017, arXiv:1706.03762)."""

    min_lr_ratio: float = 0.0
    """Floor of the learning rate, as a share of the peak."""

    def __post_init__(self) -> None:
        ScheduleConfig.__post_init__(self)
        check_share("min_lr_ratio", self.min_lr_ratio)

    def shape(self, step: int, warmup: int, total_steps: int) -> float:
        """Return sqrt(w / (step + 1)), w at least 1, not below the floor."""
        return max(self.min_lr_ratio, math.sqrt(max(1, warmup) / (step + 1)))
