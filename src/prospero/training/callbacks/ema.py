"""An exponential moving average of the weights (Polyak & Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.optim.sharded import local
from prospero.training.callbacks.base import StepCallback
from prospero.training.evaluation_weights import EVALUATION_WEIGHTS, WeightSwap, restore
from prospero.training.gathered import reshard
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts

CHECKPOINT_KEY = "ema"


@dataclass(kw_only=True, slots=True)
class EMAConfig:
    """Exponential moving average of the weights: average <- decay average + (1 - decay) weights, after every step."""

    decay: float = 0.999
    """Share of the old average that a step keeps; it remembers about 1 / (1 - decay) steps."""
    ramp: bool = True
    """Begin with a smaller decay, (1 + n) / (10 + n) after n steps of averaging, so that short runs profit too."""
    start_step: int = 0
    """Optimiser steps after which averaging begins; before, the average is the weights."""
    evaluate: bool = True
    """Validate and test with the average instead of the last weights; best is then the best average."""
    keep: bool = True
    """Write the average to model/ at the end instead of the last weights."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ConfigError(f"callbacks.ema.decay={self.decay} is not a share; give a number from 0 to below 1")
        if self.start_step < 0:
            raise ConfigError(f"callbacks.ema.start_step={self.start_step} must be 0 or more")

    def build(self, run: RunFacts) -> "EMA":
        """Return the callback."""
        return EMA(self)

    def decay_after(self, updates: int) -> float:
        """Return the decay of the next update when `updates` have been made."""
        return min(self.decay, (1 + updates) / (10 + updates)) if self.ramp else self.decay


class EMA(StepCallback):
    """Keeps the average beside the weights, cut as they are: each process averages what it holds, in float32.

    It is saved as checkpoint["ema"] and goes on from there; a run resumed from a checkpoint without one starts its
    average at the weights it resumes with.
    """

    def __init__(self, config: EMAConfig) -> None:
        self.config = config
        self.weights: dict[str, Tensor] = {}
        """The average by parameter name."""
        self.updates = 0
        """Steps averaged so far."""
        self._saved: Mapping[str, Any] | None = None
        self._swap = WeightSwap()

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the average that the checkpoint holds until the model is there, cut as it will be."""
        self._saved = checkpoint.get(CHECKPOINT_KEY)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin at the weights, or where the checkpoint that the run goes on from stood."""
        self._begin(training_module(pl_module))

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Average the weights of the optimiser step that has just ended."""
        module.wait_until_copied()
        self.update(module.model, module.step)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights of `model`, those after optimiser step `step` (the first is 1)."""
        reshard(model)
        averaging = step > self.config.start_step
        share = 1 - self.config.decay_after(self.updates) if averaging else 1.0
        averages = [local(average) for average in self.weights.values()]
        weights = [local(p.detach()).to(average.dtype) for p, average in zip(model.parameters(), averages)]
        torch._foreach_lerp_(averages, weights, share)  # pyright: ignore[reportPrivateImportUsage]
        self.updates += averaging

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the average in the place of the weights."""
        self._enter(training_module(pl_module))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the weights back, before anything is saved."""
        self._swap.leave(training_module(pl_module).model)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the average of the tested checkpoint in the place of the weights."""
        module = training_module(pl_module)
        self._begin(module)
        self._enter(module)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the weights back."""
        self._swap.leave(training_module(pl_module).model)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Put the weights back."""
        self._swap.leave(training_module(pl_module).model)

    def _enter(self, module: TrainingModule) -> None:
        if self.config.evaluate and self.weights:
            module.wait_until_copied()
            self._swap.enter(module.model, self.weights)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the average and how many steps it holds."""
        assert not self._swap.inside, "a checkpoint holds the weights, not the average in their place"
        checkpoint[CHECKPOINT_KEY] = {"weights": dict(self.weights), "updates": self.updates}
        if self.config.evaluate:
            checkpoint[EVALUATION_WEIGHTS] = dict(self.weights)  # the same tensors, which are written once

    def _begin(self, module: TrainingModule) -> None:
        saved, self._saved = self._saved, None
        reshard(module.model)
        if saved is None and self.weights:
            return
        self.weights = {
            name: p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True)
            for name, p in module.model.named_parameters()
        }
        self.updates = 0
        if saved is not None:
            restore(self.weights, saved["weights"])
            self.updates = int(saved["updates"])


@torch.no_grad()
def put_average(model: nn.Module, saved: Mapping[str, Any]) -> None:
    """Put a saved average, by parameter name, in the place of the weights of `model`, which is whole."""
    for name, parameter in model.named_parameters():  # each once, whatever names a tied one has in the state
        average = saved[name]
        parameter.copy_(average if isinstance(average, Tensor) else average.whole())
