"""A run that repeats another: it ends after the same step, and its schedule follows the other's horizon.

A schedule depends on how long the run is, so a run that repeats the first steps of another, or one that ended by the
clock, cannot be had by a lower max_steps.
"""

from dataclasses import dataclass
from pathlib import Path

import lightning as L

from prospero.errors import ConfigError
from prospero.log import log
from prospero.training.callbacks.base import StepCallback
from prospero.training.horizon import HorizonRecord
from prospero.training.module import TrainingModule
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class RepetitionConfig:
    """Where a repetition ends, and whose horizon it follows; `prospero repeat` sets both."""

    until_step: int | None = None
    """Optimiser step after which the run ends, its schedule being that of the whole run; null: where it ends anyway."""
    horizon: str | None = None
    """horizon.csv of a run that ended by the clock: how many steps it took itself to have, by step."""

    def __post_init__(self) -> None:
        if self.until_step is not None and self.until_step < 1:
            raise ConfigError(f"callbacks.repetition.until_step={self.until_step} must be at least 1, or null")
        if self.horizon is not None and not self.horizon.strip():
            raise ConfigError("callbacks.repetition.horizon= is empty; give a run's horizon.csv, or leave it out")

    def build(self, run: RunFacts) -> "Repetition":
        """Return the callback; ConfigError where there is no such file."""
        if self.horizon is None:
            return Repetition(self.until_step, {})
        if not Path(self.horizon).is_file():
            raise ConfigError(f"callbacks.repetition.horizon={self.horizon} is no file; give a run's horizon.csv")
        return Repetition(self.until_step, HorizonRecord(Path(self.horizon)).read())


class Repetition(StepCallback):
    """Ends the run after a step and moves the horizon where the other run moved it; every rank does the same."""

    def __init__(self, until_step: int | None, horizons: dict[int, int]) -> None:
        self.until_step = until_step
        self.horizons = horizons

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Move the horizon, and end after the last step that is repeated."""
        if module.step in self.horizons:
            module.set_total_steps(self.horizons[module.step])
        if module.step == self.until_step and not trainer.should_stop:
            trainer.should_stop = True
            module.state.stop_reason = f"repeated until step {self.until_step}"
            log.info("%s", module.state.stop_reason)
