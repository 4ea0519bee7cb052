"""What a run says before its first step: its size, its tokens, its validations, and how long it will take."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from prospero.batch import Batch
from prospero.evaluation.bounds import Bound
from prospero.log import duration, log
from prospero.model.size import ParameterCount
from prospero.objective.objective import Objective, Share
from prospero.planning.scale import scale_line

WARM_UP_SHARE = 8
"""The first of so many parts of a micro-batch warms up before the whole is timed."""


@dataclass(kw_only=True, slots=True)
class RunPlan:
    """The numbers of a run that has been assembled."""

    model_name: str
    parameters: ParameterCount
    flops_per_token: float
    max_steps: int | None
    """Optimiser steps; None when only minutes, or a callback, end the run."""
    max_minutes: float | None
    global_batch_size: int
    seq_len: int
    sequences_per_epoch: int
    hardware: str
    """Such as `2 x cpu, fsdp, float32`."""
    validation: Bound
    """What one validation reads."""
    validations: int
    """How many there are, the one at the end included."""
    test: Bound | None
    """What the final test reads; None when there is no test split."""
    tasks: dict[str, int] = field(default_factory=dict)
    """Task -> its items; measured in some of the validations."""
    seconds: "StepSeconds | None" = None
    """Measured on this machine, where it can be."""


@dataclass(kw_only=True, slots=True)
class StepSeconds:
    """How long a sequence takes here."""

    training: float
    """Seconds of one sequence's forward and backward pass."""
    measuring: float
    """Seconds of one sequence's forward pass in a validation."""


def say(plan: RunPlan) -> None:
    """Log the summary."""
    for line in describe_plan(plan):
        log.info("%s", line)


def describe_plan(plan: RunPlan) -> list[str]:
    """Return the lines of the summary."""
    count, per_step = plan.parameters, plan.global_batch_size * plan.seq_len
    how = f"{plan.global_batch_size} x {plan.seq_len} = {per_step:,} tokens a step, on {plan.hardware}"
    lines = [f"model: {plan.model_name}, {count.total:,} parameters ({count.non_embedding:,} outside embeddings)"]
    if count.trained is not None:
        lines[0] += f"; {count.trained:,} of them are trained ({100 * count.trained / count.total:.2g} %)"
    evaluations = [f"validation {plan.validation.describe()}"]
    evaluations += [f"test {plan.test.describe()}"] if plan.test is not None else []
    tasks = ", ".join(f"{name} ({count:,} items)" for name, count in plan.tasks.items())
    evaluations += [f"tasks {tasks}, whose time comes on top"] if tasks else []
    doubt = _doubt(plan)
    if plan.max_steps is None:
        length = "until a callback ends it" if plan.max_minutes is None else f"{plan.max_minutes:g} minutes"
        lines.append(f"training: {length}, {how}")
        return [*lines, "evaluation: " + "; ".join(evaluations), *doubt]
    tokens = plan.max_steps * per_step
    epochs = plan.max_steps * plan.global_batch_size / plan.sequences_per_epoch
    lines.append(f"training: {plan.max_steps:,} steps, {how}")
    lines.append(f"evaluation: {plan.validations} x {'; '.join(evaluations)}")
    flops = float(plan.flops_per_token * tokens)
    return [*lines, f"budget: {tokens:,} tokens ({epochs:.2f} epochs), {flops:.3g} FLOPs{_time(plan)}", *doubt]


def _doubt(plan: RunPlan) -> list[str]:
    """Return a line when text, budget or length do not belong to a model of this size, else none."""
    tokens = None if plan.max_steps is None else plan.max_steps * plan.global_batch_size * plan.seq_len
    line = scale_line(
        parameters=plan.parameters.total,
        text_tokens=plan.sequences_per_epoch * plan.seq_len,
        trained_tokens=tokens,
        seq_len=plan.seq_len,
    )
    return [] if line is None else [line]


def _time(plan: RunPlan) -> str:
    """Say how long the run will take, evaluations included; without saves and samples, which cost little."""
    if plan.seconds is None or plan.max_steps is None:
        return ""
    training = plan.max_steps * plan.global_batch_size * plan.seconds.training
    sequences = plan.validations * plan.validation.sequences + (plan.test.sequences if plan.test is not None else 0)
    evaluating = sequences * plan.seconds.measuring
    return f", about {duration(training + evaluating)}, {duration(evaluating)} of it evaluation"


def measure_seconds(objective: Objective, model: Any, batch: Batch, metrics: Any, *, bf16: bool) -> StepSeconds:
    """Time training and measuring of one micro-batch on a CPU, after a small part of it to warm up.

    Gradients and sums are dropped and the random state is put back: nothing of the run changes. Terms on parameters are
    left out, which are not bound yet.
    """
    share = Share(last_micro_step=False)
    rows = len(batch.labels)
    parts = (batch.first(max(1, rows // WARM_UP_SHARE)), batch)  # a whole one to warm up is a second of the start
    training = measuring = 0.0
    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for part in parts:
            start = time.perf_counter()
            objective(model, part, share).total.backward()
            training = time.perf_counter() - start
        model.zero_grad(set_to_none=True)
        for part in parts:
            start = time.perf_counter()
            objective.measure(model, part, metrics.members.values())
            measuring = time.perf_counter() - start
    metrics.reset()
    return StepSeconds(training=training / rows, measuring=measuring / rows)
