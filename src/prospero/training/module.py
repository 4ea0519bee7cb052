"""The training step, the validation sums and what a run remembers; everything is counted in optimiser steps.

The hot path calls no `self.log` (0.3 ms a call) and never waits for the device: scalars stay where they are until the
step that logs. Shapes: B batch, T time, V vocabulary.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from prospero.distributed import any_rank, sum_over_ranks
from prospero.objective.ignore_index import IGNORE_INDEX
from prospero.optim.clipping import clip_grad_norm_
from prospero.training.divergence import diverged
from prospero.training.strategies import gathered, scattered_like, shard, sync_gradients

CHECKPOINT_KEY = "prospero"


class OptimizerBuilder(Protocol):
    """Settings of an optimiser."""

    def build(self, model: Any) -> torch.optim.Optimizer:
        """Return the optimiser of the parameters of `model`."""
        ...


class ScheduleBuilder(Protocol):
    """Settings of a learning-rate schedule."""

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
        """Return the schedule over `total_steps` optimiser steps."""
        ...


class TrainingModule(L.LightningModule):
    """A model, its objective, and how they are optimised, for `lightning.Trainer`.

    `total_steps` is the horizon of the schedule; `token_bytes` int32 [V] the UTF-8 bytes of each token (bits per byte);
    `max_grad_norm` None means no clipping; `facts` are plain values that every checkpoint carries (settings of the
    model, the run's configuration, the data's fingerprint).
    """

    def __init__(
        self,
        model: Any,
        objective: Any,
        optimizer: OptimizerBuilder,
        schedule: ScheduleBuilder,
        *,
        total_steps: int,
        token_bytes: np.ndarray,
        max_grad_norm: float | None = 1.0,
        seed: int = 0,
        compile_blocks: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.optimizer_config = optimizer
        self.schedule_config = schedule
        self.total_steps = total_steps
        self.max_grad_norm = max_grad_norm
        self.seed = seed
        self.compile_blocks = compile_blocks
        self.facts = dict(facts or {})
        self.register_buffer("token_bytes", torch.from_numpy(np.asarray(token_bytes, dtype=np.int32)), persistent=False)
        self.consumed_sequences = 0
        self.consumed_tokens = 0
        self.counted_step = 0
        """The last optimiser step whose data is counted; behind `step` only for a moment, when nothing may be saved."""
        self.seconds = 0.0
        """Wall-clock seconds spent in fit, earlier parts of a resumed run included."""
        self.paused_seconds = 0.0
        """Seconds of `seconds` in which the run validated, saved or wrote samples."""
        self.latest_metrics: dict[str, float] = {}
        """The last value of every metric, by name."""
        self.stop_reason: str | None = None
        """Why training ended; None while it runs."""
        self.updating = False
        """True while the optimiser changes the weights, when they must not be saved."""
        self._configured = False
        self._bound = False
        self._objective_state: Mapping[str, Any] | None = None
        self._parts: list[dict[str, Tensor]] = []
        self._watched: list[tuple[int, str, Tensor]] = []
        self._grad_norm: Tensor | None = None
        self._lr = 0.0
        self._sums: list[Tensor] = []
        self._schedule: Any = None

    # Set-up ----------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Compile the blocks in place when asked, and shard the model under FSDP2; safe to call again."""
        if self._configured:
            return
        self._configured = True
        if self.compile_blocks:
            for block in self.model.blocks:
                block.compile()
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            assert self.device_mesh is not None, "the strategy has not built its mesh"
            shard(self.model, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the (perhaps sharded) model and the schedule over `total_steps`."""
        optimizer = self.optimizer_config.build(self.model)
        self.objective.bind(self.model)
        self._bound = True
        self._restore_objective()
        self._schedule = self.schedule_config.build(optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._schedule, "interval": "step"}}

    def _restore_objective(self) -> None:
        if self._bound and self._objective_state is not None:
            self.objective.load_state_dict(scattered_like(self._objective_state, self.objective.state_dict()))
            self._objective_state = None

    def set_total_steps(self, total_steps: int) -> None:
        """Move the horizon of the schedule, for runs limited by time whose number of steps is an estimate."""
        self.total_steps = total_steps
        if self._schedule is not None:
            self._schedule.total_steps = total_steps

    # Training --------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Optimiser steps taken so far."""
        return self.trainer.global_step

    @property
    def _log_every(self) -> int:
        return self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]

    def logs_step(self, number: int) -> bool:
        """Whether step `number` (the first is 1) goes to the loggers: the first, each `log_every_steps`, the last."""
        return number == 1 or number % self._log_every == 0 or number == self.trainer.max_steps

    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Make the randomness of this micro-step a function of (seed, micro-step, rank), so that none is saved."""
        torch.manual_seed(((self.seed * 1000003 + batch_idx) * 4096 + self.global_rank) % 2**63)
        accumulate = self.trainer.accumulate_grad_batches
        if accumulate > 1:
            sync_gradients(self.model, batch_idx % accumulate == accumulate - 1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Return the micro-batch's part of the global batch's loss; Lightning's averaging is undone inside."""
        accumulate = self.trainer.accumulate_grad_batches
        output = self.model(batch["input_ids"], document_ids=batch.get("document_ids"), logits=False)
        result = self.objective(
            self.model,
            output,
            batch,
            step=self.step,
            target_tokens=batch["target_tokens"],
            last_micro_step=batch_idx % accumulate == accumulate - 1,
            gradient_average_over=self.trainer.world_size,
        )
        self._watched.append((self.step + 1, "the loss", result.total.detach()))
        if self.logs_step(self.step + 1):
            self._parts.append(result.parts)
        return result.total * accumulate if accumulate > 1 else result.total  # Lightning divides by it

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the gradient's global norm, whatever the strategy, and keep the norm for the log."""
        if self.max_grad_norm:
            self._grad_norm = clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        elif self.logs_step(self.step + 1):
            self._grad_norm = clip_grad_norm_(self.model.parameters(), math.inf)
        if self._grad_norm is not None and self.trainer.precision != "16-mixed":  # its scaler overflows and recovers
            self._watched.append((self.step + 1, "the gradient", self._grad_norm.detach()))
        if self.device.type == "cpu" and self.trainer.world_size == 1:
            self.check_finite()
        self.updating = True

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Step, then drop the gradients at once: they need not live through the next forward pass."""
        self._lr = optimizer.param_groups[0]["lr"]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.updating = False
        optimizer.zero_grad(set_to_none=True)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """Do nothing: `optimizer_step` has already dropped the gradients."""

    def end_step(self, batch: dict[str, Any]) -> None:
        """Count the data of the optimiser step that has just ended; called once a step by the StepBoundary callback."""
        self.counted_step = self.step
        self.consumed_sequences += int(batch["sequences"])
        self.consumed_tokens += int(batch["sequences"]) * batch["input_ids"].shape[1]
        cursor_owner = getattr(self.trainer, "datamodule", None)
        if cursor_owner is not None:
            cursor_owner.consumed_sequences = self.consumed_sequences

    def check_finite(self) -> None:
        """Raise TrainingDiverged when a loss or a gradient norm since the last call is not finite.

        This waits for the device, so on accelerators it runs only at log steps and before saving. A collective.
        """
        watched, self._watched = self._watched, []
        finite = torch.isfinite(torch.stack([value.float() for *_, value in watched])).tolist() if watched else []
        bad = next((record for record, good in zip(watched, finite) if not good), None)
        if any_rank(bad is not None, self.device):
            step, what, _ = bad or (self.step, "the loss on another rank", None)
            raise diverged(what, step, f"after {self.consumed_sequences} sequences of training data")

    def training_metrics(self) -> dict[str, float]:
        """Return loss, parts, gradient norm and learning rate of the step just ended, over all ranks; a collective."""
        names = list(self._parts[0]) if self._parts else []
        metrics: dict[str, float] = {}
        if names:
            mine = torch.stack([torch.stack([parts[name].float() for parts in self._parts]).sum() for name in names])
            values = (sum_over_ranks(mine) / self.trainer.world_size).tolist()  # parts are means over ranks
            metrics["train/loss"] = sum(values)
            metrics.update({f"train/loss/{name}": value for name, value in zip(names, values) if len(names) > 1})
        self._parts = []
        metrics["train/lr"] = float(self._lr)
        if self._grad_norm is not None:
            metrics["train/grad_norm"] = float(self._grad_norm)
        return metrics

    # Evaluation ------------------------------------------------------------------------------------------------------

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Add this batch's sums of nats, targets and bytes."""
        self._sums.append(self._evaluate(batch))

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Add this batch's sums of nats, targets and bytes."""
        self._sums.append(self._evaluate(batch))

    def _evaluate(self, batch: dict[str, Any]) -> Tensor:
        output = self.model(batch["input_ids"], document_ids=batch.get("document_ids"), logits=False)
        nats, targets = self.objective.loss_sum(self.model, output, batch["labels"])
        token_bytes: Tensor = self.token_bytes  # pyright: ignore[reportAssignmentType]
        n_bytes = token_bytes[batch["labels"][batch["labels"] != IGNORE_INDEX]].sum()
        return torch.stack([nats.float(), targets.float(), n_bytes.float()])

    def on_validation_epoch_start(self) -> None:
        """Begin the sums again."""
        self._sums = []

    def on_test_epoch_start(self) -> None:
        """Begin the sums again."""
        self._sums = []

    def on_validation_epoch_end(self) -> None:
        """Publish val/loss (mean nats per token), val/perplexity and val/bits_per_byte over all ranks."""
        self._publish_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Publish test/loss (mean nats per token), test/perplexity and test/bits_per_byte over all ranks."""
        self._publish_evaluation("test")

    def _publish_evaluation(self, split: str) -> None:
        sums = torch.stack(self._sums).cpu().double().sum(0) if self._sums else torch.zeros(3, dtype=torch.double)
        self._sums = []
        on_device = sums.to(self.device, torch.float32 if self.device.type == "mps" else torch.float64)
        nats, tokens, n_bytes = sum_over_ranks(on_device).tolist()
        if tokens == 0:
            return
        if not math.isfinite(nats):
            raise diverged(f"{split}/loss", self.step, f"after {self.consumed_sequences} sequences of training data")
        metrics = {f"{split}/loss": nats / tokens, f"{split}/perplexity": math.exp(min(nats / tokens, 700.0))}
        if n_bytes > 0:
            metrics[f"{split}/bits_per_byte"] = nats / math.log(2) / n_bytes
        self.log_dict(metrics, logger=False)  # for callbacks of others; once per validation
        self.publish(metrics)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Count what happens inside as a pause of training, for the measures of speed."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.paused_seconds += time.perf_counter() - start

    def publish(self, metrics: Mapping[str, float]) -> None:
        """Remember `metrics` and hand them to every logger in one call each, with the axes step and tokens."""
        self.latest_metrics.update(metrics)
        if not self.trainer.is_global_zero:
            return
        row = {"tokens": float(self.consumed_tokens), **metrics}
        for logger in self.trainer.loggers:
            logger.log_metrics(row, step=self.step)

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the run remembers, as plain values."""
        checkpoint[CHECKPOINT_KEY] = {
            **self.facts,
            "step": self.step,
            "consumed_sequences": self.consumed_sequences,
            "consumed_tokens": self.consumed_tokens,
            "seconds": self.seconds,
            "paused_seconds": self.paused_seconds,
            "seed": self.seed,
            "total_steps": self.total_steps,
            "metrics": dict(self.latest_metrics),
            "objective": gathered(self.objective.state_dict()),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counters, and tell the data module where its cursor stands."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        memory = checkpoint[CHECKPOINT_KEY]
        self.consumed_sequences = memory["consumed_sequences"]
        self.consumed_tokens = memory["consumed_tokens"]
        self.counted_step = memory["step"]
        self.seconds = memory["seconds"]
        self.paused_seconds = memory["paused_seconds"]
        self.latest_metrics = dict(memory["metrics"])
        self._objective_state = memory["objective"]
        self._restore_objective()  # now, or once the parameters are those of the optimiser
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            datamodule.consumed_sequences = self.consumed_sequences
        rewind_to_step_boundary(checkpoint, micro_steps=memory["step"] * self.trainer.accumulate_grad_batches)


def rewind_to_step_boundary(checkpoint: dict[str, Any], *, micro_steps: int) -> None:
    """Set Lightning's counters of micro-batches to the end of the saved optimiser step, whole and validated.

    Whatever hook the save came from, and however many micro-steps a step had then, training goes on with the next step.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for part in ("total", "current"):
        progress[part] = dict.fromkeys(("ready", "started", "processed", "completed"), micro_steps)
    progress["is_last_batch"] = False


def training_module(pl_module: L.LightningModule) -> TrainingModule:
    """Return `pl_module` as the TrainingModule that our callbacks serve."""
    assert isinstance(pl_module, TrainingModule), "Prospero's callbacks serve TrainingModule"
    return pl_module
