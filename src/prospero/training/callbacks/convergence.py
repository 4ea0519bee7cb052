"""Stops a run whose loss hardly falls any more: relative improvement under a bound over a window of steps."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import lightning as L

from prospero.errors import ConfigError
from prospero.training.callbacks.base import StepCallback
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts


class Split(Enum):
    """Whose loss is watched."""

    train = "train"
    val = "val"


@dataclass(kw_only=True, slots=True)
class ConvergenceConfig:
    """Stop when the mean loss of a window is hardly better than the window's before."""

    split: Split = Split.val
    """The loss that is watched: of training (each logged step) or of validation."""
    window_steps: int = 1000
    """Length of each of the two windows, in optimiser steps."""
    min_improvement_ratio: float = 0.001
    """Training stops when the loss improves by a smaller share than this."""

    def __post_init__(self) -> None:
        if self.window_steps < 1:
            raise ConfigError(f"callbacks.convergence.window_steps={self.window_steps} must be at least 1")
        if not 0 <= self.min_improvement_ratio < 1:
            raise ConfigError(
                f"callbacks.convergence.min_improvement_ratio={self.min_improvement_ratio} must be from 0 to below 1"
            )

    def build(self, run: RunFacts) -> "Convergence":
        """Return the callback."""
        return Convergence(self, run.data_fingerprint)


def improvement_ratio(history: list[tuple[int, float]], window_steps: int) -> float | None:
    """Return by what share the mean of the last window is lower than the mean of the window before it.

    `history` holds (step, loss) in order. None until two whole windows have passed, or when one holds no value.
    """
    if not history or history[-1][0] - history[0][0] < 2 * window_steps - 1:
        return None
    now = history[-1][0]
    new = [loss for step, loss in history if step > now - window_steps]
    old = [loss for step, loss in history if now - 2 * window_steps < step <= now - window_steps]
    if not new or not old:
        return None
    before, after = sum(old) / len(old), sum(new) / len(new)
    return (before - after) / abs(before) if before else 0.0


class Convergence(StepCallback):
    """Watches train/loss or val/loss; its state is in every checkpoint."""

    def __init__(self, config: ConvergenceConfig, data: str = "") -> None:
        self.config = config
        self.data = data
        self.history: list[tuple[int, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """The losses of the last two windows, and of which data."""
        return {"history": [list(pair) for pair in self.history], "data": self.data}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; with other data than then, begin to compare anew."""
        if state_dict.get("data", self.data) == self.data:
            self.history = [(int(step), float(loss)) for step, loss in state_dict["history"]]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no further when the run that goes on had ended by this rule, and the rule is the same."""
        self._stop_when_due(trainer, training_module(pl_module))

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Look at the row just logged."""
        if self.config.split is Split.train and module.logs_step(module.step):
            self._look(trainer, module)

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Look at the validation just made."""
        if self.config.split is Split.val:
            self._look(trainer, module)

    def _look(self, trainer: L.Trainer, module: TrainingModule) -> None:
        name = f"{self.config.split.value}/loss"
        metrics = module.state.metrics
        if name not in metrics:
            return
        window = self.config.window_steps
        self.history.append((trainer.global_step, metrics[name]))
        self.history = [pair for pair in self.history if pair[0] > trainer.global_step - 3 * window]
        self._stop_when_due(trainer, module)

    def _stop_when_due(self, trainer: L.Trainer, module: TrainingModule) -> None:
        window = self.config.window_steps
        ratio = improvement_ratio(self.history, window)
        if ratio is not None and ratio < self.config.min_improvement_ratio and not trainer.should_stop:
            trainer.should_stop = True
            name = f"{self.config.split.value}/loss"
            module.state.stop_reason = f"convergence: {name} improved by {ratio:.3%} over {window} steps"
