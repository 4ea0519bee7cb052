"""What the user sees while a run trains: a live bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import lightning as L

from prospero.errors import ConfigError
from prospero.log import duration, log
from prospero.training.callbacks.base import StepCallback
from prospero.training.horizon import UNLIMITED_STEPS
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class ProgressConfig:
    """A bar with the time left, or plain lines where there is no terminal."""

    line_every_seconds: float = 30.0
    """Seconds between plain lines, at least one a tenth of the run."""
    refresh_per_second: float = 4.0
    """Redraws of the bar a second."""

    def __post_init__(self) -> None:
        if self.line_every_seconds <= 0 or self.refresh_per_second <= 0:
            raise ConfigError("callbacks.progress: line_every_seconds and refresh_per_second must be above 0")

    def build(self, run: RunFacts) -> "Progress":
        """Return the callback."""
        return Progress(self)


class Progress(StepCallback):
    """Shows step, loss, tokens a second and the time left, on rank 0, from the last logged row."""

    def __init__(self, config: ProgressConfig) -> None:
        self.config = config
        self._bar: Any = None
        self._task: Any = None
        self._started = self._last_line = self._last_refresh = 0.0
        self._first_step = 0
        self._tenth = 0
        self._last_numbers = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar when standard error is a terminal."""
        self._started = self._last_line = time.monotonic()
        self._first_step = trainer.global_step
        self._tenth = 0
        if trainer.is_global_zero and sys.stderr.isatty():
            self._open_bar(trainer, training_module(pl_module))

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Refresh at most a few times a second."""
        if not trainer.is_global_zero:
            return
        now = time.monotonic()
        if self._bar is None:
            self._maybe_line(trainer, module, now)
        elif now - self._last_refresh >= 1 / self.config.refresh_per_second:
            self._last_refresh = now
            self._refresh(trainer, module)

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Say what the validation has measured; of numbers by position or source the table has them."""
        if trainer.is_global_zero:
            values = [
                f"{name.removeprefix('val/').replace('_', ' ')} {value:.4g}"
                for name, value in module.state.metrics.items()
                if name.startswith("val/") and name.count("/") == 1
            ]
            self._say(f"step {trainer.global_step}: validation {', '.join(values)}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bar."""
        self._close(trainer, training_module(pl_module))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar, or it would swallow the message."""
        self._close(None, training_module(pl_module))

    def _open_bar(self, trainer: L.Trainer, module: TrainingModule) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), auto_refresh=False, transient=False, expand=True)
        self._task = self._bar.add_task(
            "", total=_total(trainer, module), completed=trainer.global_step, numbers="", left=""
        )
        self._bar.start()

    def _refresh(self, trainer: L.Trainer, module: TrainingModule) -> None:
        total = _total(trainer, module)
        left = self._left(trainer, total)
        self._bar.update(
            self._task,
            total=total,
            completed=trainer.global_step,
            numbers=numbers(module.state.metrics),
            left=f"{duration(left)} left" if left is not None else "",
        )
        self._bar.refresh()

    def _maybe_line(self, trainer: L.Trainer, module: TrainingModule, now: float) -> None:
        total = _total(trainer, module)
        tenth = 10 * trainer.global_step // total if total else 0
        if tenth == self._tenth and now - self._last_line < self.config.line_every_seconds:
            return
        self._tenth, self._last_line = tenth, now
        left = self._left(trainer, total)
        of_total = f"/{total}" if total else ""
        new = numbers(module.state.metrics)
        said = [new] if new != self._last_numbers else []  # rows are logged every few steps
        self._last_numbers = new
        said += [f"{duration(left)} left"] if left is not None else []
        self._say(f"step {trainer.global_step}{of_total}{': ' if said else ''}{', '.join(said)}")

    def _left(self, trainer: L.Trainer, total: int | None) -> float | None:
        done = trainer.global_step - self._first_step
        if not total or done < 1:
            return None
        return (time.monotonic() - self._started) / done * (total - trainer.global_step)

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            log.info("%s", line)

    def _close(self, trainer: L.Trainer | None, module: TrainingModule) -> None:
        if self._bar is not None:
            if trainer is not None:
                self._refresh(trainer, module)
            self._bar.stop()
            self._bar = None


def numbers(metrics: dict[str, float]) -> str:
    """Return `loss 3.21, 12.3k tokens/s` of the last logged row."""
    parts = []
    if "train/loss" in metrics:
        parts.append(f"loss {metrics['train/loss']:.4f}")
    if "train/tokens_per_second" in metrics:
        parts.append(f"{_short(metrics['train/tokens_per_second'])} tokens/s")
    return ", ".join(parts)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _total(trainer: L.Trainer, module: TrainingModule) -> int | None:
    total = min(trainer.max_steps, module.state.horizon or module.how.total_steps)
    return None if total >= UNLIMITED_STEPS else total
