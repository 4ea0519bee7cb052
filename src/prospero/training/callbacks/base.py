"""What a callback of a run is: it hears of whole optimiser steps and whole validations, and adds to what is written."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from prospero.training.lightning_seams import is_fitting
from prospero.training.module import TrainingModule, training_module


class StepCallback(Callback):
    """The base of Prospero's callbacks; each method does nothing unless it is overridden.

    They are called in the order in which they were chosen, after the step is counted, checked and logged.
    """

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """An optimiser step has ended, `module.step`."""

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """A whole validation of training has ended; its numbers are in `module.state.metrics`."""

    def step_metrics(self) -> dict[str, float]:
        """Return what is added to the row of metrics that is being logged."""
        return {}

    def result(self) -> dict[str, Any]:
        """Return what is added to the run's result file; `higher_is_better` lists numbers, without their split."""
        return {}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the end of an optimiser step from that of a micro-step."""
        module = training_module(pl_module)
        if module.ends_step(batch_idx):
            self.on_step_end(trainer, module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell a validation of training from any other."""
        if is_fitting(trainer):
            self.on_validated(trainer, training_module(pl_module))
