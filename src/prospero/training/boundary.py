"""What happens at the end of every optimiser step: count, check, log, and decide whether to go on."""

import signal
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from prospero.log import log
from prospero.training.horizon import StepEstimate
from prospero.training.module import TrainingModule, training_module

_SIGNALS = (signal.SIGTERM, signal.SIGINT, *((signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()))
_TIME_IS_UP = 1  # stop codes: 0 go on, 1 time is up, else 128 + the number of the signal


class StepBoundary(Callback):
    """Runs first of all callbacks; the others see a step that is counted, checked and logged.

    One row is logged each `log_every_steps`: the module's metrics and those of every callback that has a method
    `step_metrics() -> dict[str, float]`. Signals only set a flag, which all ranks agree on here, so every rank stops
    after the same step; a second SIGINT stops at once. The last step is always validated.
    """

    def __init__(self, *, max_minutes: float | None = None) -> None:
        self.limit_seconds = None if max_minutes is None else max_minutes * 60
        self.exit_code = 0
        """0, or 128 + the signal that ended training."""
        self._signal = 0
        self._handlers: list[tuple[signal.Signals, Any]] = []
        self._estimate: StepEstimate | None = None
        self._started = 0.0
        self._seconds_before = 0.0
        self._validated_step = -1
        self._pause_started = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock, catch signals, and begin to estimate the horizon when only time limits the run."""
        module = training_module(pl_module)
        self._started, self._seconds_before = time.perf_counter(), module.seconds
        for logger in trainer.loggers:
            resume_at = getattr(logger, "resume_at", None)
            if resume_at is not None and trainer.is_global_zero:
                resume_at(trainer.global_step)
        if self.limit_seconds is not None:
            self._estimate = StepEstimate(self.limit_seconds, trainer.max_steps)
        for number in _SIGNALS:
            try:
                self._handlers.append((number, signal.signal(number, self._remember)))
            except ValueError:  # not in the main thread: the owner of the process handles signals
                break

    def _remember(self, number: int, frame: Any) -> None:
        if self._signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the optimiser step when this was its last micro-step."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        module = training_module(pl_module)
        module.end_step(batch)
        module.seconds = self._seconds_before + time.perf_counter() - self._started
        self._decide(trainer, module)
        logs = module.logs_step(module.step)
        if logs or trainer.should_stop:
            module.check_finite()
        if logs:
            metrics = module.training_metrics()
            for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
                contribute = getattr(callback, "step_metrics", None)
                metrics.update(contribute() if contribute is not None else {})
            module.publish(metrics)

    def _decide(self, trainer: L.Trainer, module: TrainingModule) -> None:
        code = 128 + self._signal if self._signal else 0
        if not code and self.limit_seconds is not None and module.seconds >= self.limit_seconds:
            code = _TIME_IS_UP
        if trainer.world_size > 1:
            shared = torch.tensor([code], device=module.device)
            torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
            code = int(shared)
        if code:
            self._stop(trainer, module, code)
        elif self._estimate is not None and (trainer.world_size == 1 or module.step % 10 == 0):
            self._move_horizon(trainer, module)

    def _stop(self, trainer: L.Trainer, module: TrainingModule, code: int) -> None:
        trainer.should_stop = True
        if code == _TIME_IS_UP:
            assert self.limit_seconds is not None
            module.stop_reason = f"max_minutes: {self.limit_seconds / 60:g} minutes are over"
        else:
            self.exit_code = code
            module.stop_reason = f"interrupted by {signal.Signals(code - 128).name}"
            log.warning("%s at step %d: saving, then leaving", module.stop_reason, module.step)

    def _move_horizon(self, trainer: L.Trainer, module: TrainingModule) -> None:
        assert self._estimate is not None
        total = self._estimate.update(module.step, module.seconds)
        if total is not None:
            total = int(trainer.strategy.broadcast(total))
            module.set_total_steps(min(total, trainer.max_steps))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of the pause."""
        self._pause_started = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this step is validated, and how long it took."""
        self._validated_step = trainer.global_step
        training_module(pl_module).paused_seconds += time.perf_counter() - self._pause_started

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate the last step unless it was, say why training ended, and give the signals back."""
        module = training_module(pl_module)
        if module.stop_reason is None:
            module.stop_reason = "max_steps" if trainer.global_step >= trainer.max_steps else "the callbacks stopped it"
        if self._validated_step != trainer.global_step and not self.exit_code and trainer.limit_val_batches:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
        self._release_signals()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Say why training ended and give the signals back."""
        training_module(pl_module).stop_reason = f"{type(exception).__name__}: {exception}".rstrip(": ")
        self._release_signals()

    def _release_signals(self) -> None:
        while self._handlers:
            number, handler = self._handlers.pop()
            signal.signal(number, handler)
