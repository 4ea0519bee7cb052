"""Whether the training step is compiled: the modes, what they need, and what `trainer.compile=auto` measures.

Compiling takes tens of seconds and makes each step cheaper by a tenth to a quarter, so it pays in long runs alone.
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch

from prospero.batch import Batch
from prospero.errors import ConfigError, suggest
from prospero.log import duration, log
from prospero.objective.objective import Share
from prospero.training.callbacks.base import StepCallback
from prospero.training.module import TrainingModule, training_module

MODES = ("off", "blocks", "whole", "auto")
EARLIER = {False: "off", True: "blocks"}
"""What older settings call two of the modes."""
MOST_GAIN = 0.3
"""The share of a step that compiling is taken to save at most; 0.18 was seen (docs/PERFORMANCE.md)."""
COMPILE_SECONDS = 45.0
"""What compiling is taken to cost at least: a run that could not gain as much is not slowed down to find out."""
LEAST_GAIN = 1.02
"""A compiled step that is not at least this much faster is left alone: it is within the clock's noise."""


def check_mode(mode: bool | str) -> None:
    """Raise ConfigError unless it is one of MODES, or true or false as older settings have it."""
    if not isinstance(mode, bool) and mode not in MODES:
        raise ConfigError(
            f"trainer.compile={mode} is not possible.{suggest(mode, MODES)} Allowed: {', '.join(MODES)}; true is blocks"
        )


def check_compilation(mode: str, accelerator: str, sharded: bool, tensor_parallel: int) -> None:
    """Raise ConfigError where `mode` does not go with the strategy, or this machine cannot compile."""
    if mode == "off":
        return
    if tensor_parallel > 1:  # torch 2.13: the backward of a DTensor's input gets a Tensor
        raise ConfigError(
            f"trainer.compile={mode} does not go with trainer.tensor_parallel={tensor_parallel}; leave it out"
        )
    if sharded and mode in ("whole", "auto"):
        raise ConfigError(f"trainer.compile={mode} does not go with a sharded model; use trainer.compile=blocks")
    if accelerator == "cpu" and not has_compiler() and mode != "auto":
        raise ConfigError(
            f"trainer.compile={mode} needs a C++ compiler on a CPU, and none was found; install g++ or clang++, or "
            "leave it out"
        )


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which torch needs to compile for a CPU."""
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++", "c++") if name)


def keep_compiled(folder: Path) -> None:
    """Have torch keep what it compiles in `folder`, so that the next run of the same shapes starts at once.

    By default it lies in the machine's temporary folder; TORCHINDUCTOR_CACHE_DIR is left alone where it is set.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder.absolute()))


class CompileChoice(StepCallback):
    """Decides `auto` when the fit starts, on the run's own model and batches; every checkpoint keeps the choice.

    A run that goes on computes as it did before: to measure again could change its last digits.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.max_minutes = max_minutes
        self.mode: str | None = None
        self.why = ""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure on rank 0, say the choice, and follow it on all ranks."""
        module = training_module(pl_module)
        if self.mode is not None:
            self.why = "as before"
        if self.mode == "whole" and module.device.type == "cpu" and not has_compiler():
            self.mode, self.why = "off", "compiled before, and there is no C++ compiler here"
        if self.mode is None and trainer.is_global_zero:
            self.mode, self.why = self._measured(trainer, module)
        self.mode = str(trainer.strategy.broadcast(self.mode))
        if trainer.is_global_zero:
            log.info("compile: %s (%s)", self.mode, self.why)
        module.objective.compile("whole" if self.mode == "whole" else None)

    def state_dict(self) -> dict[str, Any]:
        """Return the choice."""
        return {"mode": self.mode}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the choice of the run that goes on."""
        self.mode = state_dict["mode"]

    def result(self) -> dict[str, Any]:
        """Return the choice."""
        return {"compile": self.mode}

    def _measured(self, trainer: L.Trainer, module: TrainingModule) -> tuple[str, str]:
        if module.device.type == "cpu" and not has_compiler():
            return "off", "there is no C++ compiler"
        batch = trainer.strategy.batch_to_device(first_batch(trainer), module.device)
        steps = min(trainer.max_steps, module.how.total_steps) - trainer.global_step
        eager = step_seconds(trainer, module, batch)
        left = eager * trainer.accumulate_grad_batches * steps
        if self.max_minutes is not None:
            left = min(left, 60 * self.max_minutes)
        if left * MOST_GAIN < COMPILE_SECONDS:
            return "off", f"compiling takes about {COMPILE_SECONDS:.0f} s, training about {duration(left)}"
        module.objective.compile("whole")
        began = time.perf_counter()
        compiled = step_seconds(trainer, module, batch)
        took = time.perf_counter() - began
        gain = eager / compiled
        return decide(gain), f"{gain:.2f} x the steps as written, compiled in {took:.0f} s"


def decide(gain: float) -> str:
    """Return whole where the compiled step is faster beyond the clock's noise; the seconds to compile are spent."""
    return "whole" if gain >= LEAST_GAIN else "off"


def first_batch(trainer: L.Trainer) -> Batch:
    """Return a micro-batch such as the run will see, from a loader of its own: the run's is not touched."""
    with torch.random.fork_rng([]):  # a loader draws a seed
        return next(iter(trainer.datamodule.train_dataloader()))  # pyright: ignore[reportAttributeAccessIssue]


def step_seconds(
    trainer: L.Trainer,
    module: TrainingModule,
    batch: Batch,
    *,
    repeats: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the median seconds of forward and backward pass of a micro-batch, after one that is not counted.

    Gradients go nowhere, and the random numbers are those of before afterwards.
    """
    parameters = [p for p in module.model.parameters() if p.requires_grad]
    device = module.device
    taken = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for _ in range(repeats + 1):
            began = clock()
            with trainer.precision_plugin.train_step_context():
                output = module.objective(module.model, batch, Share(last_micro_step=False))
            torch.autograd.grad(output.total, parameters, allow_unused=True)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(clock() - began)
    return statistics.median(taken[1:])
