"""A callback of a user's own for these tests: it spoils the loss of chosen training data, or holds a phase up."""

import math
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from prospero import registry


@dataclass(kw_only=True, slots=True)
class PoisonConfig:
    """Where the loss is spoiled and by how much."""

    first: int = 0
    """The first position of the training order whose batch is bad."""
    last: int = 0
    """The position after the last."""
    factor: float | None = None
    """What the loss is multiplied by; null: NaN."""
    term: str = ""
    """The named term of the objective that is spoiled with the total; empty: the total alone."""
    rank: int = -1
    """The process whose loss is spoiled; -1 for all."""
    sleep_at_step: int = 0
    """The step before which one rank sleeps for ever; 0 for none."""
    signal_in: str = ""
    """Phase in which this process sends itself a signal: setup, step, validation, samples, test."""
    signal_number: int = 15
    """Which one."""
    kill_at_step: int = 0
    """The step before which the process is killed, the first time; 0 for none."""

    def build(self, run: Any) -> "Poison":
        return Poison(self, run.run_dir)


class Spoiled:
    """An objective whose total is multiplied while the batch is bad."""

    def __init__(self, inner: Any, poison: "Poison") -> None:
        self.inner, self.poison = inner, poison

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.inner(*args, **kwargs)
        if not self.poison.bad:
            return result
        factor, term = self.poison.factor, self.poison.config.term
        parts = {name: part * (factor if name == term else 1.0) for name, part in result.parts.items()}
        return replace(result, total=result.total * factor, parts=parts)


class Poison(Callback):
    def __init__(self, config: PoisonConfig, run_dir: Path) -> None:
        self.config, self.run_dir, self.bad = config, run_dir, False
        self.factor = math.nan if config.factor is None else config.factor

    def send(self, trainer: Any, phase: str) -> None:
        if self.config.signal_in == phase and trainer.is_global_zero:
            os.kill(os.getpid(), self.config.signal_number)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit":
            pl_module.objective = Spoiled(pl_module.objective, self)
            self.send(trainer, "setup")

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        config, step = self.config, pl_module.step + 1
        here = config.rank in (-1, trainer.global_rank)
        place = int(trainer.datamodule.skipped.positions(pl_module.state.sequences, pl_module.state.sequences + 1)[0])
        self.bad = here and config.first <= place < config.last
        if here and step == config.sleep_at_step:
            time.sleep(3600)
        if step == config.kill_at_step and not (self.run_dir / "killed").exists():
            (self.run_dir / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if step == 3:
            self.send(trainer, "step")

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        if batch_idx == 1:
            self.send(trainer, "validation")

    def on_test_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        if batch_idx == 1:
            self.send(trainer, "test")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.send(trainer, "samples")


registry.register("callbacks", "poison", PoisonConfig)
