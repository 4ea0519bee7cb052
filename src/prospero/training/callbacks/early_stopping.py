"""Stops a run whose monitored number has stopped getting better: the first defence against over-fitting."""

from dataclasses import dataclass
from typing import Any

import lightning as L

from prospero.errors import ConfigError
from prospero.evaluation.monitor import Monitor
from prospero.training.callbacks.base import StepCallback
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class EarlyStoppingConfig:
    """Stop when `monitor` has not become better for a number of validations."""

    patience: int = 5
    """Validations without improvement after which training stops."""
    min_delta: float = 0.0
    """By how much `monitor` must become better to count, in its own unit (nats per token for val/loss)."""

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"callbacks.early_stopping.patience={self.patience} must be at least 1")
        if not self.min_delta >= 0:
            raise ConfigError(f"callbacks.early_stopping.min_delta={self.min_delta} must be 0 or more")

    def build(self, run: RunFacts) -> "EarlyStopping":
        """Return the callback."""
        return EarlyStopping(self.patience, self.min_delta, run.monitor, run.data_fingerprint)


class EarlyStopping(StepCallback):
    """Watches the monitor; its state is in every checkpoint."""

    def __init__(self, patience: int, min_delta: float, monitor: Monitor | None = None, data: str = "") -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.monitor = monitor or Monitor()
        self.data = data
        self.best = self.monitor.worst
        self.validations_without_improvement = 0

    def state_dict(self) -> dict[str, Any]:
        """The best value and how long it has stood."""
        return {
            "best": self.best,
            "validations_without_improvement": self.validations_without_improvement,
            "monitor": self.monitor.name,
            "data": self.data,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; with another monitor or other data than then, begin to compare anew."""
        for name, now in (("monitor", self.monitor.name), ("data", self.data)):
            if state_dict.get(name, now) != now:
                return
        self.best = state_dict["best"]
        self.validations_without_improvement = state_dict["validations_without_improvement"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no further when the run that goes on had ended by this rule, and the rule is the same."""
        self._stop_when_due(trainer, training_module(pl_module))

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Compare, count, and ask the trainer to stop after this step."""
        value = module.state.metrics.get(self.monitor.name)
        if value is None:
            return
        if self.monitor.better(value, self.best, self.min_delta):
            self.best, self.validations_without_improvement = value, 0
            return
        self.validations_without_improvement += 1
        self._stop_when_due(trainer, module)

    def _stop_when_due(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if self.validations_without_improvement >= self.patience and not trainer.should_stop:
            trainer.should_stop = True
            how = "risen above" if self.monitor.higher_is_better else "fallen below"
            module.state.stop_reason = (
                f"early stopping: {self.monitor.name} has not {how} {self.best:.4f} for {self.patience} validations"
            )
