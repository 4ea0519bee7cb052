"""Stops a run whose validation loss has stopped falling: the first defence against over-fitting."""

import math
from dataclasses import dataclass
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from prospero.errors import ConfigError
from prospero.training.module import training_module
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class EarlyStoppingConfig:
    """Stop when val/loss has not improved for a number of validations."""

    patience: int = 5
    """Validations without improvement after which training stops."""
    min_delta: float = 0.0
    """Nats per token by which val/loss must fall to count as better."""

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"callbacks.early_stopping.patience={self.patience} must be at least 1")
        if self.min_delta < 0:
            raise ConfigError(f"callbacks.early_stopping.min_delta={self.min_delta} must not be negative")

    def build(self, run: RunFacts) -> "EarlyStopping":
        """Return the callback."""
        return EarlyStopping(self.patience, self.min_delta)


class EarlyStopping(Callback):
    """Watches val/loss; its state is in every checkpoint."""

    def __init__(self, patience: int, min_delta: float) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf
        self.validations_without_improvement = 0

    def state_dict(self) -> dict[str, Any]:
        """The best value and how long it has stood."""
        return {"best": self.best, "validations_without_improvement": self.validations_without_improvement}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best = state_dict["best"]
        self.validations_without_improvement = state_dict["validations_without_improvement"]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare, count, and ask the trainer to stop after this step."""
        metrics = training_module(pl_module).latest_metrics
        if trainer.state.fn != TrainerFn.FITTING or "val/loss" not in metrics:
            return
        if metrics["val/loss"] < self.best - self.min_delta:
            self.best, self.validations_without_improvement = metrics["val/loss"], 0
            return
        self.validations_without_improvement += 1
        if self.validations_without_improvement >= self.patience and not trainer.should_stop:
            trainer.should_stop = True
            training_module(
                pl_module
            ).stop_reason = (
                f"early stopping: val/loss has not fallen below {self.best:.4f} for {self.patience} validations"
            )
