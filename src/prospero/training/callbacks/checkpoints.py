"""Checkpoints of a run: the newest N and the best K, each folder whole or absent."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from prospero import paths
from prospero.checkpoints import FolderWriter, folders
from prospero.checkpoints.manifest import read_manifest
from prospero.checkpoints.run_checkpoints import GRADIENTS
from prospero.errors import ConfigError, DataError, Interrupted
from prospero.evaluation.monitor import Monitor
from prospero.log import log
from prospero.processes.ranks import any_rank
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.base import StepCallback
from prospero.training.checkpoint_io import folder_strategy
from prospero.training.divergence import TrainingDiverged, diverged, weights_are_finite
from prospero.training.lightning_seams import validates_at
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts

LOSS = "val/loss"
CLOCK_READ_EVERY_STEPS = 10
SHARE_OF_TIME = 0.005
"""Saves come sooner than `every_minutes` as long as they take no more than this share of the time."""
SOONEST_SECONDS = 10.0
BYTES_PER_SECOND = 1e9
"""Speed of the disk by which the save of a thread is judged, whose own time training does not see."""


@dataclass(kw_only=True, slots=True)
class CheckpointsConfig:
    """Saves to continue from and the best by `monitor`."""

    every_steps: int | None = None
    """Optimiser steps between saves; null saves at the end and by the other rules only."""
    every_minutes: float | None = 10.0
    """At most these minutes between saves, and fewer while a save costs little of them; null: none by the clock."""
    keep_last: int = 1
    """How many of the newest to keep."""
    keep_best: int = 1
    """How many of the best by `monitor` to keep; 0 saves none for being good."""
    asynchronous: bool = False
    """Training waits only for a copy in memory; a thread writes it, and the next save waits for that thread."""
    gradients: bool = False
    """Keep the (clipped) gradient of the last step in each checkpoint, for `prospero dynamics`; it takes as much room
    as the weights."""

    def __post_init__(self) -> None:
        if self.every_steps is not None and self.every_steps < 1:
            raise ConfigError(f"callbacks.checkpoints.every_steps={self.every_steps} must be at least 1, or null")
        if self.every_minutes is not None and not 0 < self.every_minutes < float("inf"):
            raise ConfigError(f"callbacks.checkpoints.every_minutes={self.every_minutes} must be above 0, or null")
        if self.keep_last < 1 or self.keep_best < 0:
            raise ConfigError(
                f"callbacks.checkpoints keeps at least one last and no fewer than 0 best; found keep_last="
                f"{self.keep_last}, keep_best={self.keep_best}"
            )

    def build(self, run: RunFacts) -> "Checkpoints":
        """Return the callback that saves into `<run_dir>/checkpoints`."""
        return Checkpoints(self, RunFolder(run.run_dir), run.monitor, run.tokenizer)


class Checkpoints(StepCallback, Checkpoint):
    """Saves after whole optimiser steps only, validation included, so that a resumed run repeats nothing.

    Lightning runs it after all other callbacks. `entries` lists what is on disk, oldest first, and what a thread is
    writing. A save that fails (a full disk) costs a warning and the run goes on; only the last one must succeed.
    """

    def __init__(
        self, config: CheckpointsConfig, run: RunFolder, monitor: Monitor | None = None, tokenizer: Any = None
    ) -> None:
        self.config = config
        self.run = run
        self.folder = run.checkpoints
        self.monitor = monitor or Monitor()
        self.tokenizer = tokenizer
        self.data: str | None = None
        """Fingerprint of what is trained on; the numbers of other data are not compared."""
        self.entries: list[dict[str, Any]] = []
        self._due = False
        self._last_save = time.monotonic()
        self._save_seconds = 0.0
        self._entries_before: list[dict[str, Any]] = []  # those to return to when the save of a thread fails
        self._pending = False
        self._failing = False
        self._gave_up = False
        self._measured: dict[str, float] = {}
        self._writer: FolderWriter | None = None
        self._gradients: dict[str, Tensor] = {}  # those of the step that has ended, until the next one begins

    @property
    def last(self) -> Path | None:
        """The newest checkpoint."""
        return self.folder / self.entries[-1]["file"] if self.entries else None

    @property
    def best(self) -> Path | None:
        """The checkpoint with the best value of the monitor; None when none was validated."""
        ranked = self._ranked()
        return self.folder / ranked[0]["file"] if ranked else None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take up what the continued run has saved; what lies after its step is put aside."""
        self._last_save = time.monotonic()
        self.data = training_module(pl_module).facts.get("data_fingerprint")
        if trainer.is_global_zero:
            folders.remove_left_over(self.folder)
            self.entries = self._on_disk(trainer.global_step)
            if self.tokenizer is not None and not self.run.tokenizer.is_file():
                self.tokenizer.save(self.run.tokenizer)  # with it a checkpoint alone can write text
        self.entries = trainer.strategy.broadcast(self.entries)

    def _on_disk(self, step: int) -> list[dict[str, Any]]:
        """Return the entries up to `step`, oldest first; put aside those after it and those that cannot be read."""
        entries = []
        for folder in list(folders.folders_of(self.folder)):
            try:
                facts = read_manifest(folder)
            except DataError as error:
                log.warning("the checkpoint %s is put aside as %s: %s", folder, paths.put_aside(folder).name, error)
                continue
            if facts["step"] > step:
                aside = paths.put_aside(folder, "later")
                log.warning("the checkpoint %s, after step %d, is put aside as %s", folder, step, aside.name)
            else:
                metrics = {LOSS: facts.get(LOSS), **facts.get("metrics", {})}
                entry = {"file": folder.name, "step": facts["step"], "tokens": facts["tokens"]}
                comparable = facts.get("data_fingerprint", self.data) == self.data
                entries.append({**entry, "value": metrics.get(self.monitor.name) if comparable else None})
        return entries[::-1]

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Hold on to the gradients, which are clipped in their place and dropped after the step."""
        if self.config.gradients:
            parameters = training_module(pl_module).model.named_parameters()
            self._gradients = {name: p.grad for name, p in parameters if p.grad is not None}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let go of the last step's gradients: they need not live through a forward pass, and ddp writes over them."""
        self._gradients = {}

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the gradients, where they are asked for and a step of this process has made them."""
        if self._gradients:
            copies = self.config.asynchronous  # a thread may still read them when the next step writes its own
            checkpoint[GRADIENTS] = {name: g.clone() if copies else g for name, g in self._gradients.items()}

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Save when a save is due and no validation follows in this step."""
        self._due = self._due or self._is_due(module.step, module)
        if self._due and not validates_at(trainer, module.step) and not trainer.should_stop:
            self.save(trainer, module)

    def _is_due(self, step: int, module: TrainingModule) -> bool:
        if self.config.every_steps is not None and step % self.config.every_steps == 0:
            return True
        if self.config.every_minutes is None or step % CLOCK_READ_EVERY_STEPS:
            return False
        if module.watch.guard.bad:  # the save before the trouble is what the run may have to go back to
            return False
        wait = seconds_to_next_save(self.config.every_minutes, self._save_seconds)
        return any_rank(time.monotonic() - self._last_save >= wait, module.device)

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Save when this is among the best, or when a save is due."""
        measured = {name: value for name, value in module.state.metrics.items() if name.startswith("val/")}
        if self._due or self._is_among_best(measured.get(self.monitor.name)):
            self.save(trainer, module, measured)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last step, unless it already is; DataError when that cannot be done."""
        self._settle(trainer)
        if trainer.global_step > 0 and (not self.entries or self.entries[-1]["step"] != trainer.global_step):
            self.save(trainer, training_module(pl_module), final=True)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save what is good: whole steps with finite weights, on one process (several may no longer agree)."""
        module = training_module(pl_module)
        error = folder_strategy(trainer).folder_writer.wait()
        if error is not None:
            log.warning("%s", error)
        whole = module.state.step == trainer.global_step and not module.state.weights_changing
        saved = error is None and bool(self.entries) and self.entries[-1]["step"] == trainer.global_step
        good = not isinstance(exception, TrainingDiverged | Interrupted) and trainer.global_step > 0
        alone = trainer.world_size == 1 and not self._gave_up
        if alone and whole and good and not saved and weights_are_finite(module.model):
            self.save(trainer, module, final=True)

    def save(
        self,
        trainer: L.Trainer,
        module: TrainingModule,
        measured: dict[str, float] | None = None,
        *,
        final: bool = False,
    ) -> Path:
        """Write this step's checkpoint, with what its validation `measured`, then remove what need not be kept.

        A collective.
        A `final` save is done when this returns, and raises DataError when it fails. Else a failure is a warning.
        """
        started = time.perf_counter()
        measured = measured or {}
        self._writer = folder_strategy(trainer).folder_writer
        with module.state.pause():
            self._settle(trainer)
            self._refuse_broken_weights(trainer, module)
            path = self.folder / folders.name_of_step(trainer.global_step)
            entry = {"file": path.name, "step": trainer.global_step, "tokens": module.state.tokens}
            after = self._enter({**entry, "value": measured.get(self.monitor.name)})
            facts = {LOSS: measured.get(LOSS), "metrics": measured, "monitor": self.monitor.name}
            facts |= {"higher_is_better": self.monitor.higher_is_better, "data_fingerprint": self.data}
            options = {
                "facts": {**facts, "name": self.run.path.name},
                "asynchronous": self.config.asynchronous and not final,
                "after": after,
            }
            try:
                trainer.save_checkpoint(path, storage_options=options)
                self._pending = options["asynchronous"]
                if not self._pending:
                    self._say_saved()
            except DataError as error:
                self._undo_save(error, final=final)
                if final:
                    self._gave_up = True
                    raise
        self._due = False
        self._last_save = time.monotonic()
        stall, size = time.perf_counter() - started, float(folder_strategy(trainer).saved_bytes)
        self._save_seconds = max(stall, size / BYTES_PER_SECOND) if self.config.asynchronous else stall
        self._measured = {"train/checkpoint_stall_seconds": stall, "train/checkpoint_bytes": size}
        return path

    def step_metrics(self) -> dict[str, float]:
        """Return how long the save since the last row held training up, and its bytes."""
        measured, self._measured = self._measured, {}
        waited = self._writer.taken_wait() if self._writer is not None else 0.0
        if waited:
            measured["train/checkpoint_stall_seconds"] = measured.get("train/checkpoint_stall_seconds", 0.0) + waited
        return measured

    def _enter(self, entry: dict[str, Any]) -> Callable[[], None]:
        """Add `entry` as if it were on disk; return what the first process does once it is."""
        self._entries_before = self.entries
        others = [known for known in self.entries if known["step"] != entry["step"]]
        self.entries = sorted([*others, entry], key=lambda known: known["step"])
        dropped = self._drop_surplus()

        def after() -> None:
            for gone in dropped:
                folders.remove_folder(self.folder / gone["file"])

        return after

    def _settle(self, trainer: L.Trainer) -> None:
        """Wait for the save that a thread does; where it failed, the entries are those before; a collective."""
        error = folder_strategy(trainer).finish_save()
        pending, self._pending = self._pending, False
        if error is not None:
            self._undo_save(error)
        elif pending:
            self._say_saved()

    def _undo_save(self, error: DataError, *, final: bool = False) -> None:
        self.entries = self._entries_before
        if not self._failing and not final:
            log.warning("%s; training goes on and tries again at the next save", error)
        self._failing = True

    def _say_saved(self) -> None:
        if self._failing:
            log.info("checkpoints are saved again")
        self._failing = False

    def _refuse_broken_weights(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if any_rank(not weights_are_finite(module.model), module.device):
            raise diverged("a weight", trainer.global_step, "checked before saving")

    def _ranked(self) -> list[dict[str, Any]]:
        measured = (entry for entry in self.entries if entry["value"] is not None)
        return sorted(measured, key=lambda entry: (self.monitor.rank(entry["value"]), -entry["step"]))

    def _is_among_best(self, value: float | None) -> bool:
        best = self._ranked()[: self.config.keep_best]
        if value is None or self.config.keep_best == 0:
            return False
        return len(best) < self.config.keep_best or self.monitor.better(value, best[-1]["value"])

    def _drop_surplus(self) -> list[dict[str, Any]]:
        keep = self.entries[-self.config.keep_last :] + self._ranked()[: self.config.keep_best]
        dropped = [entry for entry in self.entries if entry not in keep]
        self.entries = [entry for entry in self.entries if entry in keep]
        return dropped


def seconds_to_next_save(every_minutes: float, save_seconds: float) -> float:
    """Return how long after a save that took `save_seconds` the next is due: a small model loses less to a kill."""
    return min(60 * every_minutes, max(SOONEST_SECONDS, save_seconds / SHARE_OF_TIME))
