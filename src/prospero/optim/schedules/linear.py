"""Warm-up, then a straight line down to the floor."""

from dataclasses import dataclass

from prospero.optim.schedules.base import ScheduleConfig, check_share, progress


@dataclass(kw_only=True, slots=True)
class LinearConfig(ScheduleConfig):
    """Linear decay to the floor (the schedule of BERT, Devlin et al. 2019, arXiv:1810.04805)."""

    min_lr_ratio: float = 0.0
    """The learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        ScheduleConfig.__post_init__(self)
        check_share("min_lr_ratio", self.min_lr_ratio)

    def shape(self, step: int, warmup: int, total_steps: int) -> float:
        """Return 1 - progress, raised to the floor."""
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * (1 - progress(step, warmup, total_steps))
