"""What happens at the end of every optimiser step: count, check, log, and decide whether to go on or to go back."""

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from prospero.log import log
from prospero.processes.ranks import any_rank
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.base import StepCallback
from prospero.training.divergence import RollBack
from prospero.training.horizon import HorizonRecord, StepEstimate
from prospero.training.lightning_seams import (
    callbacks_of,
    is_fitting,
    leave_validation,
    training_data,
    validate_now,
    validates_at,
)
from prospero.training.loggers.base import RunLogger
from prospero.training.module import TrainingModule, training_module
from prospero.training.stopping import StopReasons

_RANKS_ASKED_EVERY_BATCHES = 8
"""Batches of an evaluation after which several ranks agree whether to break it off."""


class StepLoop(Callback):
    """Runs first of all callbacks; the others see a step that is counted, checked and logged.

    One row is logged each `log_every_steps`: the module's metrics and those of every StepCallback. All ranks agree on
    reasons to stop once a step. Evaluations are broken off for them. The last step is always validated, unless the run
    is to be continued.
    """

    def __init__(self, *, max_minutes: float | None = None) -> None:
        self.limit_seconds = None if max_minutes is None else max_minutes * 60
        self._reasons: StopReasons | None = None
        self._estimate: StepEstimate | None = None
        self._horizons = HorizonRecord(Path())
        self._started = 0.0
        self._seconds_before = 0.0
        self._validated_step = self._logged_step = -1
        self._began_at = -1
        self._pause_started = 0.0
        self._loggers_resumed = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin to look for reasons to stop."""
        folder, state = RunFolder(Path(trainer.default_root_dir)), training_module(pl_module).state
        self._reasons = StopReasons(folder, self.limit_seconds, state)
        self._horizons = HorizonRecord(folder.horizon)
        if stage == "fit" and trainer.is_global_zero:
            self._reasons.forget_old_stop_file()

    @property
    def reasons(self) -> StopReasons:
        """This rank's reasons to stop."""
        assert self._reasons is not None, "Lightning sets callbacks up before anything runs"
        return self._reasons

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock, remember signals from now on, and begin to estimate the horizon when only time limits."""
        module = training_module(pl_module)
        self._resume_loggers(trainer)
        self._started, self._seconds_before = time.perf_counter(), module.state.seconds
        self._began_at = trainer.global_step
        if self.limit_seconds is not None and module.state.seconds >= self.limit_seconds:
            self.reasons.stop_for_time(trainer)
        if self.limit_seconds is not None:
            self._estimate = StepEstimate(self.limit_seconds, trainer.max_steps)
        self.reasons.begin()
        module.watch.stop_reasons_here = lambda: self.reasons.here(trainer)

    def _resume_loggers(self, trainer: L.Trainer) -> None:
        if not self._loggers_resumed and trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.resume_at(trainer.global_step)
        self._loggers_resumed = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the optimiser step when this was its last micro-step; RollBack when the run has to go back."""
        module = training_module(pl_module)
        if not module.ends_step(batch_idx):
            return
        module.state.end_step(module.step, module.learnt)
        training_data(trainer).advance(module.learnt.sequences)
        module.state.seconds = self._seconds_before + time.perf_counter() - self._started
        verdict = module.watch.judge(module.step, speaks=trainer.is_global_zero)
        if verdict is None and module.step >= trainer.max_steps and module.watch.enabled:
            verdict = module.watch.guard.verdict_at_end()
        if verdict is None:
            self._decide(trainer, module)
        if module.logs_step(module.step):
            self._log(trainer, module)
        if verdict is not None:
            raise RollBack(f"training diverged: {verdict}")

    def _log(self, trainer: L.Trainer, module: TrainingModule) -> None:
        metrics = module.training_metrics()
        for callback in callbacks_of(trainer):
            if isinstance(callback, StepCallback):
                metrics.update(callback.step_metrics())
        module.publish(metrics)
        self._logged_step = module.step

    def _decide(self, trainer: L.Trainer, module: TrainingModule) -> None:
        several = trainer.world_size > 1
        reasons = module.watch.agreed_stop_reasons if several else self.reasons.here(trainer)
        if any(reasons):
            self.reasons.stop(trainer, module.step, reasons)
            module.state.validation_pending = module.state.stopping_to_resume and validates_at(trainer, module.step)
        elif self._estimate is not None and (not several or module.step % 10 == 0):
            self._move_horizon(trainer, module)

    def _move_horizon(self, trainer: L.Trainer, module: TrainingModule) -> None:
        assert self._estimate is not None
        total = self._estimate.update(module.step, module.state.seconds)
        if total is not None:
            total = min(int(trainer.strategy.broadcast(total)), trainer.max_steps)
            module.set_total_steps(total)
            if trainer.is_global_zero:
                self._horizons.add(module.step, total)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of the pause."""
        self._resume_loggers(trainer)
        self._pause_started = time.perf_counter()

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Break the validation off when the run has to stop."""
        self._end_evaluation_early(trainer, training_module(pl_module), batch_idx)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Break the test off when the run has to stop."""
        self._end_evaluation_early(trainer, training_module(pl_module), batch_idx)

    def _end_evaluation_early(self, trainer: L.Trainer, module: TrainingModule, batch_idx: int) -> None:
        """Raise StopIteration, which Lightning takes for the end of the data, on all ranks after the same batch."""
        if trainer.world_size > 1 and batch_idx % _RANKS_ASKED_EVERY_BATCHES:
            return
        reasons = self.reasons.here(trainer)[:-1]  # time does not end an evaluation
        if trainer.world_size > 1:
            reasons = [float(any_rank(bool(reason), module.device)) for reason in reasons]
        if any(reasons):
            state = module.state
            if not state.stopping_to_resume:
                self.reasons.stop(trainer, module.step, reasons)
            state.validation_pending = state.validation_pending or not trainer.testing
            state.evaluation_broken_off = True
            raise StopIteration

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this step is validated, and how long it took; leave a validation that was broken off."""
        state = training_module(pl_module).state
        state.paused_seconds += time.perf_counter() - self._pause_started
        if state.evaluation_broken_off and is_fitting(trainer):
            leave_validation(trainer)
        self._validated_step = trainer.global_step

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the loggers go on where the run is, when it had nothing left to train."""
        self._resume_loggers(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log and validate the last step unless it was, say why training ended, and give the signals back."""
        module = training_module(pl_module)
        state = module.state
        if state.stop_reason is None:
            ended = trainer.global_step >= trainer.max_steps
            state.stop_reason = module.how.limit if ended else "the callbacks stopped it"
        if trainer.global_step == self._began_at and trainer.should_stop and not state.stopping_to_resume:
            log.info("the run had ended already, nothing is trained: %s", state.stop_reason)
            self._validated_step = trainer.global_step
        if trainer.global_step not in (self._logged_step, self._began_at) and not state.stopping_to_resume:
            self._log(trainer, module)  # time or a callback ended the run between two rows
        validated = self._validated_step == trainer.global_step
        if not validated and not state.stopping_to_resume and trainer.limit_val_batches:
            validate_now(trainer)
        self.reasons.end()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Say why training ended and give the signals back."""
        reason = f"{type(exception).__name__}: {exception}".rstrip(": ")
        training_module(pl_module).state.stop_reason = reason
        if self._reasons is not None:
            self._reasons.end()
