"""Every place where Prospero relies on what Lightning does inside: its private names, its order of hooks, its counters.

Whoever moves to another version of Lightning reads this file, and `strategies.py`, first.
"""

from contextlib import suppress
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.trainer.states import TrainerFn

from prospero.data.training_data import TrainingData


class NoSignals(_SignalConnector):
    """Keeps Lightning from catching signals: its handler broadcasts from inside, which hangs when ranks differ."""

    def register_signal_handlers(self) -> None:
        """Catch nothing."""


def take_over_signals(trainer: L.Trainer) -> None:
    """Leave signals to our loop, and spare each micro-step the broadcast with which Lightning asks for them."""
    trainer._signal_connector = NoSignals(trainer)
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None


def callbacks_of(trainer: L.Trainer) -> list[Callback]:
    """Return the trainer's callbacks, in the order in which they are called."""
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]


def training_data(trainer: L.Trainer) -> TrainingData:
    """Return the data module of a fit."""
    return trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]


def log_every_steps(trainer: L.Trainer) -> int:
    """Return the steps between rows of metrics."""
    return trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]


def is_fitting(trainer: L.Trainer) -> bool:
    """Whether a validation that runs is one of training."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


class MoreValidations:
    """Lightning's decision whether to validate after a micro-batch, with validations each `every_steps` besides."""

    def __init__(self, trainer: L.Trainer, every_steps: int) -> None:
        self.every_steps, self._loop = every_steps, trainer.fit_loop.epoch_loop
        self._every_batches = every_steps * trainer.accumulate_grad_batches
        self._usual = self._loop._should_check_val_fx

    def __call__(self, data_fetcher: Any) -> bool:
        """Whether a validation follows now."""
        return self._usual(data_fetcher) or (self._loop.total_batch_idx + 1) % self._every_batches == 0


def also_validate_every(trainer: L.Trainer, steps: int) -> None:
    """Have Lightning validate each `steps` optimiser steps too, besides its own rhythm."""
    trainer.fit_loop.epoch_loop._should_check_val_fx = MoreValidations(trainer, steps)


def validates_at(trainer: L.Trainer, step: int) -> bool:
    """Whether Lightning validates when optimiser step `step` has ended."""
    every_batches: Any = trainer.val_check_batch
    usually = (step * trainer.accumulate_grad_batches) % every_batches == 0
    decides = trainer.fit_loop.epoch_loop._should_check_val_fx
    besides = isinstance(decides, MoreValidations) and step % decides.every_steps == 0
    return bool(trainer.limit_val_batches) and (usually or besides)


def validate_now(trainer: L.Trainer) -> None:
    """Run a validation inside of `fit`, for the step just ended."""
    trainer.validating = True
    with suppress(StopIteration):  # it is broken off when the run has to stop
        trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


def leave_validation(trainer: L.Trainer) -> None:
    """Raise StopIteration out of a validation that was broken off: no other callback may take it for a whole one."""
    trainer.training = True
    raise StopIteration


def rewind_to_step_boundary(checkpoint: dict[str, Any], *, micro_steps: int) -> None:
    """Set Lightning's counters of micro-batches to the end of the saved optimiser step, whole and validated.

    Whatever hook the save came from, and however many micro-steps a step had then, training goes on with the next step.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for part in ("total", "current"):
        progress[part] = dict.fromkeys(("ready", "started", "processed", "completed"), micro_steps)
    progress["is_last_batch"] = False
    validation = checkpoint["loops"]["fit_loop"].get("epoch_loop.val_loop.batch_progress", {})
    for part in validation.keys() & {"total", "current"}:  # one that was broken off begins anew
        validation[part] = dict.fromkeys(("ready", "started", "processed", "completed"), 0)
