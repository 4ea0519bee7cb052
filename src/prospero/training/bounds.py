"""How long a run is and how much its evaluations read, from its settings and its data."""

import math
from typing import TYPE_CHECKING

import psutil

from prospero.data.datamodule import LanguageDataModule
from prospero.errors import ConfigError
from prospero.evaluation.bounds import bounded
from prospero.training.horizon import UNLIMITED_STEPS, steps_of_run

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig


def max_steps(config: "TrainConfig", flops_per_token: float) -> int:
    """Return the optimiser steps of the run; UNLIMITED_STEPS when only minutes end it."""
    per_step = config.global_batch_size * config.seq_len
    return steps_of_run(**config.limits(), tokens_per_step=per_step, flops_per_token=flops_per_token)


def limit_of_steps(config: "TrainConfig", flops_per_token: float) -> str:
    """Return the setting that decides `max_steps`: the lowest of max_steps, max_tokens and max_flops."""
    limits, per_step = config.limits(), config.global_batch_size * config.seq_len
    steps = max_steps(config, flops_per_token)
    if steps == limits["max_steps"] or limits["max_tokens"] is limits["max_flops"] is None:
        return "max_steps"
    if limits["max_tokens"] is not None and math.ceil(limits["max_tokens"] / per_step) == steps:
        return f"max_tokens: {limits['max_tokens']:,} tokens are {steps:,} steps of {per_step:,}"
    return f"max_flops: {limits['max_flops']:.3g} operations are {steps:,} steps of {flops_per_token * per_step:.3g}"


def check_micro_batch(config: "TrainConfig", micro_batch_size: int) -> None:
    """Raise ConfigError when the token ids alone of a micro-batch are more than this machine's memory."""
    n_bytes = 2 * 8 * micro_batch_size * config.seq_len  # ids and labels, of 64 bits each
    memory = psutil.virtual_memory().total
    if n_bytes > memory:
        name = "micro_batch_size" if config.micro_batch_size else "global_batch_size"
        raise ConfigError(
            f"{name}={micro_batch_size} sequences of seq_len={config.seq_len} in one forward pass need "
            f"{n_bytes / 1e9:,.0f} GB for their token ids alone, this machine has {memory / 1e9:,.0f} GB; give a "
            "smaller micro_batch_size, the rest of a step is accumulated"
        )


def evaluated_sequences(
    config: "TrainConfig", data: LanguageDataModule, flops_per_token: float
) -> tuple[int, int | None]:
    """Return how many sequences a validation and the test read; None for no test split."""
    per_step, total_steps = config.global_batch_size * config.seq_len, max_steps(config, flops_per_token)
    total = total_steps * per_step if total_steps < UNLIMITED_STEPS else None
    between = config.trainer.val_every_steps * per_step or total
    validation = bounded(
        config.trainer.val_sequences,
        of_sequences=data.sequences_of("val"),
        seq_len=config.seq_len,
        trained_tokens=between if total is None or between is None else min(between, total),
    )
    if "test" not in data.prepared.splits:
        return validation, None
    n_test = data.sequences_of("test")
    asked = config.trainer.test_sequences
    return validation, bounded(asked, of_sequences=n_test, seq_len=config.seq_len, trained_tokens=total)
