"""Evaluates with the average that an optimiser keeps itself (schedule-free ones), in the place of the last weights."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from torch import Tensor

from prospero.optim.evaluation_weights import HasEvaluationWeights
from prospero.training.callbacks.base import StepCallback
from prospero.training.callbacks.ema import CHECKPOINT_KEY as EMA_KEY
from prospero.training.evaluation_weights import EVALUATION_WEIGHTS, WeightSwap, restore
from prospero.training.module import TrainingModule, training_module


class OptimizerAverage(StepCallback):
    """Part of every run; does nothing unless the optimiser has weights of its own to be evaluated with."""

    def __init__(self) -> None:
        self._swap = WeightSwap()
        self._saved: Mapping[str, Any] | None = None

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint's average for a test, in which there is no optimiser; the callback ema has its own."""
        self._saved = None if EMA_KEY in checkpoint else checkpoint.get(EVALUATION_WEIGHTS)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the optimiser's average in the place of the weights."""
        module = training_module(pl_module)
        weights = _average_of(trainer, module)
        if weights is not None:
            module.wait_until_copied()
            self._swap.enter(module.model, weights)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the weights back, before anything is saved."""
        self._swap.leave(training_module(pl_module).model)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the average of the tested checkpoint in the place of the weights."""
        module = training_module(pl_module)
        if self._saved is not None:
            weights = {name: p.detach().clone() for name, p in module.model.named_parameters()}
            restore(weights, self._saved)
            self._swap.enter(module.model, weights)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the weights back."""
        self._swap.leave(training_module(pl_module).model)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Put the weights back."""
        self._swap.leave(training_module(pl_module).model)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the average under a name of its own: the same tensors as in the optimiser's state, written once."""
        weights = _average_of(trainer, training_module(pl_module))
        if weights is not None and EVALUATION_WEIGHTS not in checkpoint:
            checkpoint[EVALUATION_WEIGHTS] = weights


def _average_of(trainer: L.Trainer, module: TrainingModule) -> dict[str, Tensor] | None:
    """Return the average of the run's optimiser by parameter name; None when it keeps none, or none yet."""
    for optimizer in trainer.optimizers:
        if isinstance(optimizer, HasEvaluationWeights):
            averages = optimizer.evaluation_weights()
            return {name: averages[p] if p in averages else p.detach() for name, p in module.model.named_parameters()}
    return None
