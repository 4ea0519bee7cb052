"""What happens at the end of every optimiser step: count, check, log, and decide whether to go on or to go back."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.trainer.states import TrainerFn

from prospero.log import log
from prospero.processes import signals
from prospero.processes.ranks import any_rank
from prospero.training.divergence import RollBack
from prospero.training.guards.vote import FLAGS
from prospero.training.horizon import StepEstimate
from prospero.training.module import TrainingModule, training_module

STOP_FILE = "STOP"
_STOP_FILE_CHECKED_EVERY_SECONDS = 1.0
_RANKS_ASKED_EVERY_BATCHES = 8
"""Batches of an evaluation after which several ranks agree whether to break it off."""


class StepBoundary(Callback):
    """Runs first of all callbacks; the others see a step that is counted, checked and logged.

    One row is logged each `log_every_steps`: the module's metrics and those of every callback that has a method
    `step_metrics() -> dict[str, float]`. Signals and a file STOP in the run folder are only remembered; all ranks agree
    on them once a step, so every rank stops after the same one. Evaluations are broken off for them. The last step is
    always validated, unless the run is to be continued.
    """

    def __init__(self, *, max_minutes: float | None = None) -> None:
        self.limit_seconds = None if max_minutes is None else max_minutes * 60
        self.exit_code = 0
        """0, or 128 + the signal that ended training or the final test."""
        self._signals = ExitStack()
        self._estimate: StepEstimate | None = None
        self._started = 0.0
        self._seconds_before = 0.0
        self._validated_step = -1
        self._pause_started = 0.0
        self._stop_file: Path | None = None
        self._stop_file_seen = False
        self._stop_file_looked = 0.0
        self._loggers_resumed = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """A file STOP that lies there before the run begins is from another time."""
        self._stop_file = Path(trainer.default_root_dir) / STOP_FILE
        if stage == "fit" and trainer.is_global_zero and self._stop_file.exists():
            log.warning("removing %s: it was there before this run began", self._stop_file)
            self._stop_file.unlink(missing_ok=True)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock, remember signals from now on, and begin to estimate the horizon when only time limits."""
        module = training_module(pl_module)
        self._started, self._seconds_before = time.perf_counter(), module.seconds
        self._resume_loggers(trainer)
        if self.limit_seconds is not None:
            self._estimate = StepEstimate(self.limit_seconds, trainer.max_steps)
        if not signals.watch.active:  # else a command watches from its start to its end
            self._signals.enter_context(signals.watched())
        signals.watch.defer()
        module.stop_flags = lambda: self._flags(trainer, module)

    def _resume_loggers(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers if not self._loggers_resumed else []:
            resume_at = getattr(logger, "resume_at", None)
            if resume_at is not None and trainer.is_global_zero:
                resume_at(trainer.global_step)
        self._loggers_resumed = True

    def _flags(self, trainer: L.Trainer, module: TrainingModule) -> list[float]:
        """This rank's reasons to stop, in the order of FLAGS."""
        received = signals.watch.received
        name = signal.Signals(received).name if received else ""
        time_is_up = self.limit_seconds is not None and module.seconds >= self.limit_seconds
        found = {name, "STOP file" if self._finds_stop_file(trainer) else "", "max_minutes" if time_is_up else ""}
        return [float(flag in found) for flag in FLAGS]

    def _finds_stop_file(self, trainer: L.Trainer) -> bool:
        now = time.monotonic()
        due = now - self._stop_file_looked >= _STOP_FILE_CHECKED_EVERY_SECONDS
        if due and trainer.is_global_zero and self._stop_file is not None:
            self._stop_file_looked = now
            self._stop_file_seen = self._stop_file.exists()
        return self._stop_file_seen

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the optimiser step when this was its last micro-step; RollBack when the run has to go back."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        module = training_module(pl_module)
        module.end_step(batch)
        module.seconds = self._seconds_before + time.perf_counter() - self._started
        verdict = module.judge_step()
        if verdict is None:
            self._decide(trainer, module)
        if module.logs_step(module.step):
            metrics = module.training_metrics()
            for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
                contribute = getattr(callback, "step_metrics", None)
                metrics.update(contribute() if contribute is not None else {})
            module.publish(metrics)
        if verdict is not None:
            raise RollBack(f"training diverged: {verdict}")

    def _decide(self, trainer: L.Trainer, module: TrainingModule) -> None:
        flags = module.agreed_flags if trainer.world_size > 1 else self._flags(trainer, module)
        if any(flags):
            validates_now = (module.step * trainer.accumulate_grad_batches) % trainer.val_check_batch == 0  # pyright: ignore[reportOperatorIssue, reportAttributeAccessIssue]
            self._stop(trainer, module, flags)
            module.owes_validation = module.leaving and validates_now and bool(trainer.limit_val_batches)
        elif self._estimate is not None and (trainer.world_size == 1 or module.step % 10 == 0):
            self._move_horizon(trainer, module)

    def _stop(self, trainer: L.Trainer, module: TrainingModule, flags: list[float]) -> None:
        """Stop for the weightiest of the reasons."""
        trainer.should_stop = True
        reason = next(name for name, flag in zip(FLAGS, flags) if flag)
        if reason == "max_minutes":
            assert self.limit_seconds is not None
            module.stop_reason = f"max_minutes: {self.limit_seconds / 60:g} minutes are over"
            return
        module.leaving = True
        module.stop_reason = reason
        if reason != "STOP file":
            self.exit_code = 128 + signal.Signals[reason].value
            module.stop_reason = f"interrupted by {reason}"
        elif trainer.is_global_zero and self._stop_file is not None:
            self._stop_file.unlink(missing_ok=True)
        log.warning("%s at step %d: saving, then leaving", module.stop_reason, module.step)

    def _move_horizon(self, trainer: L.Trainer, module: TrainingModule) -> None:
        assert self._estimate is not None
        total = self._estimate.update(module.step, module.seconds)
        if total is not None:
            total = int(trainer.strategy.broadcast(total))
            module.set_total_steps(min(total, trainer.max_steps))

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
        flags = self._flags(trainer, module)[:-1]  # time does not end an evaluation
        if trainer.world_size > 1:
            flags = [float(any_rank(bool(flag), module.device)) for flag in flags]
        if any(flags):
            if not module.leaving:
                self._stop(trainer, module, flags)
            module.owes_validation = module.owes_validation or not trainer.testing
            module.cut_short = True
            raise StopIteration

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this step is validated, and how long it took.

        StopIteration after a validation that was broken off: no other callback may take it for a whole one.
        """
        module = training_module(pl_module)
        module.paused_seconds += time.perf_counter() - self._pause_started
        if module.cut_short and trainer.state.fn == TrainerFn.FITTING:
            trainer.training = True
            raise StopIteration
        self._validated_step = trainer.global_step

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the loggers go on where the run is, when it had nothing left to train."""
        self._resume_loggers(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate the last step unless it was, say why training ended, and give the signals back."""
        module = training_module(pl_module)
        if module.stop_reason is None:
            module.stop_reason = "max_steps" if trainer.global_step >= trainer.max_steps else "the callbacks stopped it"
        if self._validated_step != trainer.global_step and not module.leaving and trainer.limit_val_batches:
            module.validate_now()
        self._signals.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Say why training ended and give the signals back."""
        training_module(pl_module).stop_reason = f"{type(exception).__name__}: {exception}".rstrip(": ")
        self._signals.close()


class NoSignals(_SignalConnector):
    """Keeps Lightning from catching signals: its handler broadcasts from inside, which hangs when ranks differ."""

    def register_signal_handlers(self) -> None:
        """Catch nothing."""


def take_over_signals(trainer: L.Trainer) -> None:
    """Leave signals to StepBoundary, and spare each micro-step the broadcast with which Lightning asks for them."""
    trainer._signal_connector = NoSignals(trainer)
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
