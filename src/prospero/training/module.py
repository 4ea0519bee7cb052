"""The training step, the validation sums and what a run remembers; everything is counted in optimiser steps.

The hot path calls no `self.log` (0.3 ms a call) and never waits for the device: scalars stay where they are until the
step that logs. Shapes: B batch, T time, V vocabulary.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from prospero.batch import IGNORE_INDEX
from prospero.checkpoints import laid_out_like
from prospero.log import log
from prospero.optim.clipping import clip_grad_norm_
from prospero.processes.ranks import sum_over_ranks
from prospero.training.divergence import SkippedStep, diverged
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_guard import StepGuard, StepRecord
from prospero.training.guards.vote import FLAGS, Vote
from prospero.training.parallel import reshard, sync_gradients
from prospero.training.strategies import FSDP2Strategy

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
        guards: GuardsConfig | None = None,
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
        self.guard = StepGuard(guards)
        """Watches loss and gradient of every step."""
        self.rollbacks = 0
        """Times that the run has gone back to a checkpoint."""
        self.stop_flags: Callable[[], list[float]] = lambda: [0.0] * len(FLAGS)
        """This rank's reasons to stop, asked for once a step when there are several ranks."""
        self.agreed_flags = [0.0] * len(FLAGS)
        """The reasons of all ranks, in the order of FLAGS."""
        self.leaving = False
        """Whether training ends early, to be continued: what costs time and can be done later is left out."""
        self.owes_validation = False
        """Whether the step that was saved last should have been validated and was not."""
        self.cut_short = False
        """Whether the evaluation that runs was broken off; it publishes nothing."""
        self.updating = False
        """True while the optimiser changes the weights, when they must not be saved."""
        self._configured = False
        self._bound = False
        self._objective_state: Mapping[str, Any] | None = None
        self.loaded_ema: Mapping[str, Any] | None = None
        """The average of the weights in the checkpoint that was loaded, until the callback ema takes it."""
        self._parts: list[dict[str, Tensor]] = []
        self._losses: list[Tensor] = []
        self._vote: Vote | None = None
        self._due: list[StepRecord] = []
        self._step_sequences = 0
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
        if isinstance(self.trainer.strategy, FSDP2Strategy):
            self.trainer.strategy.parallelize(self.model)

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
            self.objective.load_state_dict(laid_out_like(self._objective_state, self.objective.state_dict()))
            self._objective_state = None

    def set_total_steps(self, total_steps: int) -> None:
        """Move the horizon of the schedule, for runs limited by time whose number of steps is an estimate."""
        self.total_steps = total_steps
        if self._schedule is not None:
            self._schedule.total_steps = total_steps

    def on_train_start(self) -> None:
        """Validate first what an interrupted run owes; all callbacks have begun by now."""
        reshard(self.model)
        if self.owes_validation and self.trainer.limit_val_batches:
            self.validate_now()

    def validate_now(self) -> None:
        """Run a validation inside of `fit`, for the step just ended."""
        self.trainer.validating = True
        with suppress(StopIteration):  # it is broken off when the run has to stop
            self.trainer.fit_loop.epoch_loop.val_loop.run()
        self.trainer.training = True

    # Training --------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Optimiser steps taken so far."""
        return self.trainer.global_step

    @property
    def _tensor_parallel(self) -> int:
        return getattr(self.trainer.strategy, "tensor_parallel", 1)

    @property
    def _log_every(self) -> int:
        return self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]

    def logs_step(self, number: int) -> bool:
        """Whether step `number` (the first is 1) goes to the loggers: the first, each `log_every_steps`, the last."""
        return number == 1 or number % self._log_every == 0 or number == self.trainer.max_steps

    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Make the randomness of this micro-step a function of (seed, micro-step, rank), so that none is saved.

        Ranks that compute one sequence together (tensor parallelism) draw the same, as they hold the same activations.
        """
        rank = self.global_rank // self._tensor_parallel
        torch.manual_seed(((self.seed * 1000003 + batch_idx) * 4096 + rank) % 2**63)
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
            gradient_average_over=self.trainer.world_size // self._tensor_parallel,
        )
        if self.guard.config.enabled or self.trainer.world_size > 1:
            self._losses.append(result.total.detach())
        if self.logs_step(self.step + 1):
            self._parts.append(result.parts)
        return result.total * accumulate if accumulate > 1 else result.total  # Lightning divides by it

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the gradient's global norm, whatever the strategy, and let all ranks agree whether the step is taken."""
        self.wait_until_copied()
        if self.max_grad_norm or self.guard.config.enabled or self.logs_step(self.step + 1):
            self._grad_norm = clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        if self.guard.config.enabled or self.trainer.world_size > 1:
            self._cast_vote(optimizer)
        self.updating = True

    def wait_until_copied(self) -> None:
        """Let a save in the background finish its copy: the weights, or what is made of them, are about to change."""
        wait = getattr(self.trainer.strategy, "wait_until_copied", None)
        if wait is not None:
            wait()

    def _cast_vote(self, optimizer: Any) -> None:
        """Raise SkippedStep, or let a fused kernel leave the weights alone, when loss or gradient is not finite.

        Adam and AdamW on CUDA read the decision on the device, where nobody waits for it; for other optimisers the host
        waits for the gradient's norm. float16 has a scaler, which overflows, skips and recovers by itself.
        """
        if self._vote is None:
            self._vote = Vote(self.device, self.trainer.world_size)
        losses, self._losses = self._losses, []
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        scaled = self.trainer.precision == "16-mixed"
        norm = loss.new_zeros(()) if scaled or self._grad_norm is None else self._grad_norm
        flags = self.stop_flags() if self.trainer.world_size > 1 else []
        finite = self._vote.cast(self.step + 1, self._lr, loss, norm, flags)
        if scaled or not self.guard.config.enabled:
            return
        kernel_skips = isinstance(optimizer, torch.optim.Adam) and getattr(
            optimizer, "_step_supports_amp_scaling", False
        )
        if kernel_skips and isinstance(finite, Tensor):
            optimizer.found_inf = (~finite).float()  # pyright: ignore[reportAttributeAccessIssue]
        elif not finite:
            raise SkippedStep

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Step, then drop the gradients at once: they need not live through the next forward pass.

        A skipped step counts as a step, its data are consumed and the schedule moves on; weights and the optimiser's
        state stay as they are.
        """
        self._lr = optimizer.param_groups[0]["lr"]
        with suppress(SkippedStep):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.updating = False
        optimizer.zero_grad(set_to_none=True)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """Do nothing: `optimizer_step` has already dropped the gradients."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Leave before Lightning validates, which it does for whoever stops; all callbacks have ended the step."""
        if self.leaving:
            raise StopIteration

    def end_step(self, batch: dict[str, Any]) -> None:
        """Count the data of the optimiser step that has just ended; called once a step by the StepBoundary callback."""
        self.counted_step = self.step
        self._step_sequences = int(batch["sequences"])
        self.consumed_sequences += int(batch["sequences"])
        self.consumed_tokens += int(batch["sequences"]) * batch["input_ids"].shape[1]
        cursor_owner = getattr(self.trainer, "datamodule", None)
        if cursor_owner is not None:
            cursor_owner.consumed_sequences = self.consumed_sequences

    def judge_step(self) -> str | None:
        """Read the numbers of the steps that are due; return why the run must go back, or None; the same on every rank.

        On a CPU that is the step just ended, on CUDA the one before it. Skipped steps are counted and said.
        """
        ballots = self._vote.count(self.step) if self._vote is not None else []
        found = [(ballot, *ballot.read()) for ballot in ballots]
        records, self._due = [*self._due, *(self._record(loss, norm, ballot) for ballot, loss, norm, _ in found)], []
        if found and self.trainer.world_size > 1:
            self.agreed_flags = [max(together) for together in zip(*(flags for *_, flags in found))]
        verdict = None
        if self.guard.config.enabled:
            for record in records:
                verdict = self.guard.read(record) or verdict
                if not record.finite and self.trainer.is_global_zero:
                    log.warning("step %d skipped: %s is not finite; %s", record.step, record.what, self.where(record))
        return verdict

    def _record(self, loss: float, norm: float, ballot: Any) -> StepRecord:
        last = self.consumed_sequences - (self.step - ballot.step) * self._step_sequences
        return StepRecord(ballot.step, loss, norm, float(ballot.lr), last - self._step_sequences, last)

    def where(self, record: StepRecord) -> str:
        """Return which training data a step has read: sequences, and the documents where the data module knows them."""
        text = f"sequences {record.first} to {record.last - 1}"
        names = self.documents(record)
        return f"{text}, documents {', '.join(names)}" if names else text

    def documents(self, record: StepRecord, limit: int = 5) -> list[str]:
        """Return the names of at most `limit` documents that a step has read, and how many there are besides."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(datamodule, "documents_between"):
            return []
        numbers = datamodule.documents_between(record.first, record.last).tolist()
        more = [f"and {len(numbers) - limit} more"] if len(numbers) > limit else []
        return [datamodule.name_document(number) for number in numbers[:limit]] + more

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
        if self.guard.config.enabled:
            metrics["train/skipped_steps"] = float(self.guard.skipped)
        if self.rollbacks:
            metrics["train/rollbacks"] = float(self.rollbacks)
        return metrics

    # Evaluation ------------------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        """Drop gathered weights, which may be older than the sharded ones."""
        reshard(self.model)

    def on_test_start(self) -> None:
        """Drop gathered weights, which may be older than the sharded ones."""
        reshard(self.model)

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
        self._sums, self.cut_short = [], False

    def on_test_epoch_start(self) -> None:
        """Begin the sums again."""
        self._sums, self.cut_short = [], False

    def on_validation_epoch_end(self) -> None:
        """Publish val/loss (mean nats per token), val/perplexity and val/bits_per_byte over all ranks."""
        self._publish_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Publish test/loss (mean nats per token), test/perplexity and test/bits_per_byte over all ranks."""
        self._publish_evaluation("test")

    def _publish_evaluation(self, split: str) -> None:
        if self.cut_short:
            self._sums = []
            return
        sums = torch.stack(self._sums).cpu().double().sum(0) if self._sums else torch.zeros(3, dtype=torch.double)
        self._sums = []
        on_device = sums.to(self.device, torch.float32 if self.device.type == "mps" else torch.float64)
        nats, tokens, n_bytes = sum_over_ranks(on_device).tolist()
        if tokens == 0:
            return
        if not math.isfinite(nats):
            raise diverged(f"{split}/loss", self.step, f"after {self.consumed_sequences} sequences of training data")
        if split == "val":
            self.owes_validation = False
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
            "owes_validation": self.owes_validation,
            "guard": self._guard_state(),
            "skipped_ranges": self._skipped_ranges(),
            "objective": self.objective.state_dict(),
        }

    def _guard_state(self) -> dict[str, Any]:
        ballots = self._vote.pending() if self._vote is not None else []
        due = [*self._due, *(self._record(*ballot.read()[:2], ballot) for ballot in ballots)]
        return {**self.guard.state_dict(), "due": [asdict(record) for record in due]}

    def _skipped_ranges(self) -> list[list[int]]:
        skipped = getattr(getattr(self.trainer, "datamodule", None), "skipped", None)
        return [] if skipped is None else [list(pair) for pair in skipped.ranges]

    def _load_guard_state(self, state: Mapping[str, Any]) -> None:
        self.guard.load_state_dict(dict(state))
        self._due = [StepRecord(**record) for record in state["due"]]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counters, and tell the data module where its cursor stands."""
        self.loaded_ema = checkpoint.get("ema")
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        memory = checkpoint[CHECKPOINT_KEY]
        self.consumed_sequences = memory["consumed_sequences"]
        self.consumed_tokens = memory["consumed_tokens"]
        self.counted_step = memory["step"]
        self.seconds = memory["seconds"]
        self.paused_seconds = memory["paused_seconds"]
        self.latest_metrics = dict(memory["metrics"])
        self.owes_validation = memory["owes_validation"]
        self._load_guard_state(memory["guard"])
        self._objective_state = memory["objective"]
        self._restore_objective()  # now, or once the parameters are those of the optimiser
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            datamodule.consumed_sequences = self.consumed_sequences
            if hasattr(datamodule, "skip"):
                datamodule.skip(memory["skipped_ranges"])
        rewind_to_step_boundary(checkpoint, micro_steps=memory["step"] * self.trainer.accumulate_grad_batches)


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


def training_module(pl_module: L.LightningModule) -> TrainingModule:
    """Return `pl_module` as the TrainingModule that our callbacks serve."""
    assert isinstance(pl_module, TrainingModule), "Prospero's callbacks serve TrainingModule"
    return pl_module
