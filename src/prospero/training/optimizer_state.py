"""What of an optimiser's state is saved and taken up: settings that were changed, tensors that are sharded.

A state tensor that is laid out as its parameter (a `DTensor`) is written by all processes together. A plain tensor of a
sharded parameter is taken to be the same on every process, and the first writes it. An optimiser that keeps plain
tensors of its own part breaks that, and its checkpoints would silently hold the state of one process.
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from prospero.errors import ConfigError
from prospero.plain import from_plain, plain
from prospero.spread import is_spread
from prospero.training.parts import OptimizerSettings


class HasModel(Protocol):
    """The module of a run, around its model."""

    model: Any

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """Yield the parameters by the module's names for them."""
        ...


_Entry = tuple[str, str, tuple[int, ...], int]
"""Parameter, key of the state, shape, fingerprint of the values."""


def take_changed_settings(
    checkpoint: dict[str, Any], then: Mapping[str, Any] | None, now: OptimizerSettings, module: HasModel
) -> None:
    """Put what `now` says otherwise than the run's settings `then` into the optimisers' states of a checkpoint."""
    if then is not None and then.get("optimizer") is not None:
        states = [
            with_changed_settings(state, then["optimizer"], now, module) for state in checkpoint["optimizer_states"]
        ]
        checkpoint["optimizer_states"] = states


def with_changed_settings(
    saved: Mapping[str, Any], then: Mapping[str, Any], now: OptimizerSettings, module: HasModel
) -> dict[str, Any]:
    """Return the optimiser's `saved` state with the settings in which `now` differs from those of `then`.

    What the optimiser itself counts in its groups stays: only what the two settings build otherwise is changed. The
    model is that inside `module`, as `module.model`, whose parameters the state knows by the module's names for them.
    """
    kind = type(now)
    known = {name: value for name, value in then.items() if name in plain(now)}
    if known == {name: plain(now)[name] for name in known}:
        return dict(saved)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    before = _options_by_name(from_plain(kind, known).build(module.model), names)
    after = _options_by_name(now.build(module.model), names)
    groups = []
    for group in saved["param_groups"]:
        old, new = (options.get(group["params"][0], {}) for options in (before, after))
        groups.append({**group, **{key: new[key] for key in old.keys() & new.keys() if old[key] != new[key]}})
    return {**saved, "param_groups": groups}


def _options_by_name(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, dict[str, Any]]:
    """Return the options of each parameter's group, by the parameter's name."""
    return {
        names[id(parameter)]: {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def check_can_be_saved(optimizer: torch.optim.Optimizer, names: Mapping[int, str], device: torch.device) -> None:
    """Raise ConfigError, in all processes alike, unless plain state of sharded parameters is equal in all of them.

    `names` gives each parameter's name by its number. Nothing is done where no parameter is sharded; else it is a
    collective that reads the plain state once.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not any(is_spread(p) for p in parameters):
        return
    kind = type(optimizer).__name__
    entries: list[_Entry] = []
    for number, parameter in enumerate(parameters):
        if not is_spread(parameter):
            continue
        for key, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, Tensor) or is_spread(value):
                continue
            shape = tuple(value.shape)
            if shape == tuple(parameter.shape) and value.ndim:
                raise ConfigError(
                    f"{kind} keeps '{key}' of {names[number]} {list(shape)} as a plain tensor of the parameter's "
                    "shape, which a sharded run could not load again; make it with torch.zeros_like(parameter)"
                )
            entries.append((names[number], key, shape, _fingerprint(value)))
    if _equal_everywhere(zlib.crc32(repr(entries).encode()), device):
        return
    said: list[list[_Entry]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(said, entries)
    mine, theirs = _first_difference(said)
    name, key, shape, _ = mine
    own = "" if theirs is None or theirs[2] == shape else f" and {list(theirs[2])} on another"
    whole = list(parameters[next(i for i, known in names.items() if known == name)].shape)
    raise ConfigError(
        f"{kind} keeps '{key}' of {name} {whole}, a sharded parameter, as a plain tensor {list(shape)}{own} that "
        "differs between processes, so no checkpoint can hold it; use trainer.strategy=ddp, or lay it out as the "
        "parameter is"
    )


def _fingerprint(value: Tensor) -> int:
    """Return a sum over the bits, equal for equal tensors."""
    numbers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = value.detach().contiguous().view(-1).view(numbers.get(value.element_size(), torch.uint8))
    return int(bits.sum(dtype=torch.int64))


def _equal_everywhere(number: int, device: torch.device) -> bool:
    extremes = torch.tensor([number, -number], dtype=torch.int64, device=device)
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    return int(extremes[0]) == -int(extremes[1])


def _first_difference(said: list[list[_Entry]]) -> tuple[_Entry, _Entry | None]:
    """Return the first entry that some process says otherwise, and what that one says, if anything."""
    tables = [{entry[:2]: entry for entry in entries} for entries in said]
    for place in dict.fromkeys(place for table in tables for place in table):
        found = [table.get(place) for table in tables]
        known = next(entry for entry in found if entry is not None)
        for entry in found:
            if entry != known:
                return known, entry
    raise AssertionError("the processes' states differ, and yet no entry does")
