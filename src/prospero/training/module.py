"""The training step, and what a validation measures; everything is counted in optimiser steps.

The hot path calls no `self.log` (0.3 ms a call) and never waits for the device: scalars stay where they are until the
step that logs.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from prospero.batch import Batch
from prospero.checkpoints import laid_out_like
from prospero.evaluation.metrics.collection import LOSS, TokenMetrics
from prospero.objective.objective import Objective, Share
from prospero.optim.clipping import clip_grad_norm_
from prospero.training.batch_maker import BatchMaker
from prospero.training.checkpoint_io import folder_strategy
from prospero.training.divergence import SkippedStep, diverged
from prospero.training.gathered import reshard, sync_gradients
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_guard import StepRecord
from prospero.training.guards.step_watch import StepWatch
from prospero.training.lightning_seams import (
    log_every_steps,
    rewind_to_step_boundary,
    training_data,
    validate_now,
)
from prospero.training.optimization import Optimization
from prospero.training.optimizer_state import take_changed_settings
from prospero.training.state import RunState
from prospero.training.step_numbers import StepNumbers
from prospero.training.strategies import FSDP2Strategy

CHECKPOINT_KEY = "prospero"


class TrainingModule(L.LightningModule):
    """A model, its objective, its metrics, and how they are optimised, for `lightning.Trainer`.

    `facts` are plain values that every checkpoint carries. `fill` reads weights into a model that has been spread over
    processes. What the run remembers is `state`; what watches its steps is `watch`; what makes its batches is `maker`.
    """

    def __init__(
        self,
        model: Any,
        objective: Objective,
        metrics: TokenMetrics,
        how: Optimization,
        *,
        guards: GuardsConfig | None = None,
        facts: Mapping[str, Any] | None = None,
        fill: Callable[[Any], None] = lambda model: None,
        maker: BatchMaker | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.metrics = metrics
        self.how = how
        self.facts = dict(facts or {})
        self.fill = fill
        self.maker = maker or BatchMaker()
        self.state = RunState()
        self.watch = StepWatch(guards, self.state, self.where)
        self.numbers = StepNumbers()
        self._configured = False
        self._objective_state: Mapping[str, Any] | None = None
        self._schedule: Any = None

    def configure_model(self) -> None:
        """Compile when asked, and shard the model under FSDP2; safe to call again."""
        if self._configured:
            return
        self._configured = True
        if self.how.compile == "blocks":
            for block in self.model.blocks:
                block.compile()
            # On a CPU the terms as written are as fast, and write their gradient over the logits.
            self.objective.compile("terms" if self.trainer.strategy.root_device.type != "cpu" else None)
        elif self.how.compile == "whole":
            self.objective.compile("whole")
        if isinstance(self.trainer.strategy, FSDP2Strategy):
            self.trainer.strategy.parallelize(self.model)
            self.fill(self.model)

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the (perhaps sharded) model and the schedule over the horizon."""
        optimizer = self.how.optimizer.build(self.model)
        self.objective.bind(self.model)
        self._restore_objective()
        self._schedule = self.how.schedule.build(optimizer, self.how.total_steps)
        if self.state.horizon is not None:
            self.set_total_steps(self.state.horizon)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._schedule, "interval": "step"}}

    def _restore_objective(self) -> None:
        if self.objective.bound and self._objective_state is not None:
            self.objective.load_state_dict(laid_out_like(self._objective_state, self.objective.state_dict()))
            self._objective_state = None

    def set_total_steps(self, total_steps: int) -> None:
        """Move the horizon of the schedule, for runs limited by time whose number of steps is an estimate."""
        self.state.horizon = total_steps
        if self._schedule is not None:
            self._schedule.total_steps = total_steps

    def on_fit_start(self) -> None:
        """Let the watch begin: device and ranks are known."""
        self.watch.open(self.device, self.trainer.world_size)

    def on_train_start(self) -> None:
        """Validate first what an interrupted run has left out; all callbacks have begun by now."""
        reshard(self.model)
        if self.state.validation_pending and self.trainer.limit_val_batches:
            validate_now(self.trainer)

    def on_validation_start(self) -> None:
        """Drop gathered weights, which may be older than the sharded ones."""
        reshard(self.model)

    on_test_start = on_validation_start

    @property
    def step(self) -> int:
        """Optimiser steps taken so far."""
        return self.trainer.global_step

    def ends_step(self, batch_idx: int) -> bool:
        """Whether micro-batch `batch_idx` is the last of an optimiser step."""
        return (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0

    def logs_step(self, number: int) -> bool:
        """Whether step `number` (the first is 1) goes to the loggers: the first, each `log_every_steps`, the last."""
        return number == 1 or number % log_every_steps(self.trainer) == 0 or number == self.trainer.max_steps

    @property
    def _tensor_parallel(self) -> int:
        return folder_strategy(self.trainer).tensor_parallel

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the randomness of this micro-step a function of (seed, micro-step, rank), so that none is saved.

        Ranks that compute one sequence together (tensor parallelism) draw the same, as they hold the same activations.
        """
        rank = self.global_rank // self._tensor_parallel
        torch.manual_seed(((self.how.seed * 1000003 + batch_idx) * 4096 + rank) % 2**63)
        self.learnt = self.maker(self, batch)
        if self.trainer.accumulate_grad_batches > 1:
            sync_gradients(self.model, self.ends_step(batch_idx))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the micro-batch's part of the global batch's loss; Lightning's averaging is undone inside."""
        share = Share(
            step=self.step,
            last_micro_step=self.ends_step(batch_idx),
            gradient_average_over=self.trainer.world_size // self._tensor_parallel,
        )
        result = self.objective(self.model, self.learnt, share)
        self.watch.add_loss(result.total, result.parts)
        accumulate = self.trainer.accumulate_grad_batches
        self.numbers.add_parts(result.parts, first=batch_idx % accumulate == 0, observed=result.observed)
        return result.total * accumulate if accumulate > 1 else result.total  # Lightning divides by it

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the gradient's global norm, whatever the strategy, and let all ranks agree whether the step is taken."""
        self.wait_until_copied()
        if self.how.max_grad_norm or self.watch.enabled or self.logs_step(self.step + 1):
            self.numbers.grad_norm = clip_grad_norm_(self.model.parameters(), self.how.max_grad_norm)
        if self.watch.reporting:
            scaled = self.trainer.precision == "16-mixed"
            self.watch.report(self.step + 1, self.numbers.lr, self.numbers.grad_norm, optimizer, scaled=scaled)
        self.state.weights_changing = True

    def wait_until_copied(self) -> None:
        """Let a save in the background finish its copy: the weights, or what is made of them, are about to change."""
        folder_strategy(self.trainer).wait_until_copied()

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Step, then drop the gradients at once: they need not live through the next forward pass.

        A skipped step counts as a step, its data are consumed and the schedule moves on; weights and the optimiser's
        state stay as they are.
        """
        self.numbers.lr = optimizer.param_groups[0]["lr"]
        with suppress(SkippedStep):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.state.weights_changing = False
        optimizer.zero_grad(set_to_none=True)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """Do nothing: `optimizer_step` has already dropped the gradients."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Leave before Lightning validates, which it does for whoever stops; all callbacks have ended the step."""
        if self.state.stopping_to_resume:
            raise StopIteration

    def where(self, record: StepRecord, limit: int = 5) -> str:
        """Return which training data a step has read: sequences, and at most `limit` of the documents."""
        text = f"sequences {record.first} to {record.last - 1}"
        names = training_data(self.trainer).origins(record.first, record.last, limit)
        return f"{text}, documents {', '.join(names)}" if names else text

    def training_metrics(self) -> dict[str, float]:
        """Return the numbers of the step just ended, over all ranks; a collective."""
        metrics = self.numbers.metrics(self.trainer.world_size) | self.maker.metrics()
        if self.watch.enabled:
            metrics["train/skipped_steps"] = float(self.watch.guard.skipped)
        if self.state.rollbacks:
            metrics["train/rollbacks"] = float(self.state.rollbacks)
        return metrics

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add this batch to the running sums of the metrics."""
        self.objective.measure(self.model, batch, self.metrics.members.values())

    test_step = validation_step

    def on_validation_epoch_start(self) -> None:
        """Begin the sums again."""
        self.metrics.reset()
        self.state.evaluation_broken_off = False

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Publish what was measured, over all ranks, as val/<metric>."""
        self._publish_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Publish what was measured, over all ranks, as test/<metric>."""
        self._publish_evaluation("test")

    def _publish_evaluation(self, split: str) -> None:
        if self.state.evaluation_broken_off:
            return
        metrics = self.metrics.compute(split)
        if not math.isfinite(metrics[f"{split}/{LOSS}"]):
            raise diverged(f"{split}/loss", self.step, f"after {self.state.sequences} sequences of training data")
        self.state.begin_numbers_of(split)
        if split == "val":
            self.state.validation_pending = False
            metrics |= self.state.measured
        self.log_dict(metrics, logger=False)  # for callbacks of others; once per validation
        self.publish(metrics)

    def publish(self, metrics: Mapping[str, float]) -> None:
        """Remember `metrics` and hand them to every logger in one call each, with the axes step and tokens."""
        self.state.metrics.update(metrics)
        if not self.trainer.is_global_zero:
            return
        row = {"tokens": float(self.state.tokens), **metrics}
        for logger in self.trainer.loggers:
            logger.log_metrics(row, step=self.step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the run remembers, as plain values."""
        checkpoint[CHECKPOINT_KEY] = {
            **self.facts,
            **self.state.plain(),
            "seed": self.how.seed,
            "total_steps": self.state.horizon or self.how.total_steps,
            "guard": self.watch.plain(),
            "skipped_ranges": training_data(self.trainer).state_dict()["skipped"],
            "objective": self.objective.state_dict(),
            "maker": self.maker.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counters; Lightning restores the data by their own state, or it stands among the counters."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        memory = checkpoint[CHECKPOINT_KEY]
        self.state.restore(memory)
        self.watch.restore(memory["guard"])
        if self.how.estimated:  # until there is an estimate of now
            self.set_total_steps(min(memory["total_steps"], self.how.total_steps))
        take_changed_settings(checkpoint, memory.get("config"), self.how.optimizer, self)
        self._objective_state = memory["objective"]
        self.maker.load_state_dict(memory.get("maker", {}))
        self._restore_objective()  # now, or once the parameters are those of the optimiser
        data = training_data(self.trainer)
        if type(data).__qualname__ not in checkpoint:  # saved before data had a state of their own
            data.load_state_dict({"consumed_sequences": self.state.sequences, "skipped": memory["skipped_ranges"]})
        rewind_to_step_boundary(checkpoint, micro_steps=self.state.step * self.trainer.accumulate_grad_batches)


def training_module(pl_module: L.LightningModule) -> TrainingModule:
    """Return `pl_module` as the TrainingModule that our callbacks serve."""
    assert isinstance(pl_module, TrainingModule), "Prospero's callbacks serve TrainingModule"
    return pl_module
