"""Warm-up, then the peak learning rate to the end."""

from dataclasses import dataclass

from prospero.optim.schedules.base import ScheduleConfig


@dataclass(kw_only=True, slots=True)
class ConstantConfig(ScheduleConfig):
    """Constant: the peak, after warm-up."""

    def shape(self, step: int, warmup: int, total_steps: int) -> float:
        """Return 1."""
        return 1.0
