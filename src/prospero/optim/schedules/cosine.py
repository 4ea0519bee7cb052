"""Warm-up, then half a cosine down to the floor."""

import math
from dataclasses import dataclass

from prospero.optim.schedules.base import ScheduleConfig, check_share, progress


@dataclass(kw_only=True, slots=True)
class CosineConfig(ScheduleConfig):
    """Cosine decay to the floor (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)."""

    min_lr_ratio: float = 0.1
    """The learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        ScheduleConfig.__post_init__(self)
        check_share("min_lr_ratio", self.min_lr_ratio)

    def shape(self, step: int, warmup: int, total_steps: int) -> float:
        """Return (1 + cos(pi progress)) / 2, raised to the floor."""
        cosine = 0.5 * (1 + math.cos(math.pi * progress(step, warmup, total_steps)))
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * cosine
