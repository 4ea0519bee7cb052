"""What training reads of prepared data, one corpus or several: the packed sequences, and their order."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from prospero.data.mixture.joining import parts_of
from prospero.data.mixture.mixing import Mixing
from prospero.data.mixture.order import MixtureOrder
from prospero.data.mixture.packing import MixturePacking
from prospero.data.mixture.quotas import Quotas
from prospero.data.mixture.shares import Stage, shares_of
from prospero.data.packing.concat import ConcatPacking
from prospero.data.packing.packing import Packing
from prospero.data.parts import PackingSettings
from prospero.data.prepare import PreparedData
from prospero.data.sampler import SequenceOrder
from prospero.errors import ConfigError, DataError

TrainingOrder = SequenceOrder | MixtureOrder
"""(start, stop) of positions -> the numbers of their sequences; `epochs` of positions."""


def training_packing(prepared: PreparedData, settings: PackingSettings, seq_len: int) -> Packing:
    """Return the sequences of the training split; of a mixture, each part packed by itself."""
    shards = prepared.splits["train"]
    if prepared.mixture is None:
        return settings.build(shards, seq_len)
    parts = parts_of(shards, prepared.receipt, "train")
    return MixturePacking([settings.build(part, seq_len) for part in parts], [part.first for part in parts])


def training_order(
    prepared: PreparedData, packing: Packing, *, sequences: int | None, step_size: int, seed: int
) -> TrainingOrder:
    """Return the order in which training reads the sequences of `packing`, the first `sequences` of them alone.

    Raises ConfigError for a mixture of which a number of first sequences is asked.
    """
    if prepared.mixture is None:
        return SequenceOrder(len(packing) if sequences is None else min(len(packing), sequences), seed)
    if sequences is not None:
        raise ConfigError(
            f"train_sequences={sequences} would be those of the mixture's first parts; limit a part by max_epochs, or "
            "leave train_sequences out"
        )
    assert isinstance(packing, MixturePacking), "a mixture is packed part by part"
    names = list(prepared.receipt["parts"])
    quotas = quotas_of(prepared.mixture, prepared.receipt["parts"], packing, step_size)
    return MixtureOrder(names, packing.lengths, quotas, seed)


def quotas_of(mixing: Mixing, parts: Mapping[str, Any], packing: MixturePacking, step_size: int) -> Quotas:
    """Return how many sequences of each part every step reads; DataError for a part that would give none at all.

    `parts` are those of the receipt: their tokens count where the mixture has a temperature.
    """
    sizes = [row["splits"]["train"]["tokens"] for row in parts.values()]
    lengths = _mean_targets(packing)
    stages = [Stage(step, shares_of(weights, sizes, lengths, mixing.temperature)) for step, weights in mixing.stages]
    limits = list[int | None]()
    for name, epochs, n in zip(mixing.names, mixing.max_epochs, packing.lengths):
        limits.append(None if epochs is None else int(Fraction(str(epochs)) * n))
        if limits[-1] == 0:
            raise DataError(
                f"data.parts, '{name}': max_epochs={epochs} of its {n} sequences is none; raise it, or leave it out"
            )
    return Quotas(stages, step_size, limits)


def _mean_targets(packing: MixturePacking) -> list[float]:
    """Return the mean targets in a sequence of each part; 1 for all where every sequence is full but the last."""
    if all(isinstance(part, ConcatPacking) for part in packing.parts) and not _marked(packing.parts):
        return [1.0] * len(packing.parts)
    return [float(part.target_counts(np.arange(len(part))).mean()) for part in packing.parts]


def _marked(parts: Sequence[Packing]) -> bool:
    return any(isinstance(part, ConcatPacking) and part.shards.targets is not None for part in parts)


def mixture_lines(prepared: PreparedData, order: MixtureOrder, steps: int | None) -> list[str]:
    """Return a line for each part: its share, how much text it has, how often `steps` steps read it, and its end."""
    found, quotas = [], order.quotas
    assert prepared.mixture is not None, "the lines are of a mixture"
    for k, (name, row) in enumerate(prepared.receipt["parts"].items()):
        begins = quotas.segments[0]
        share = begins.rates[k] / begins.unit / quotas.step_size
        line = f"part {name}: {100 * share:.1f} % of a step, {row['splits']['train']['tokens']:,} tokens"
        if steps is not None:
            read = quotas.taken(steps)[k]
            line += f"; {steps:,} steps read {read:,} sequences of it, {read / order.lengths[k]:.3g} epochs"
        last = quotas.last_steps.get(k)
        if last is not None and (steps is None or last <= steps):
            end = f"max_epochs={prepared.mixture.max_epochs[k]:g}"
            line += f"; it ends with step {last:,} ({end}), and its share goes to the others from then on"
        found.append(line)
    return found
