"""What all regularisers share: a weight that may depend on the step, and the three things R may be a function of.

- `ParameterRegularizer`: of the parameters (l2, l1, l2_sp, orthogonality), evaluated once per optimiser step;
- `TokenRegularizer`: of each token's logits (z_loss, label_smoothing, confidence_penalty);
- `HiddenRegularizer`: of the hidden states (activation).

The last two are averaged over the target tokens of the whole global batch, exactly as the loss is.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.errors import ConfigError
from prospero.objective.terms import TokenTerm
from prospero.spread import is_spread


@dataclass(kw_only=True, slots=True)
class RegularizerConfig:
    """The weight lambda of a term lambda R, and when it acts."""

    weight: float
    """lambda, the factor of this term in the objective."""
    start_step: int = 0
    """Optimiser step at which the term begins; its weight is 0 before."""
    warmup_steps: int = 0
    """Steps over which the weight then rises linearly from 0 to its full value."""
    stop_step: int | None = None
    """Optimiser step from which the weight is 0 again; none for never."""

    def __post_init__(self) -> None:
        if not self.weight >= 0 or self.weight == float("inf"):
            raise ConfigError(f"weight={self.weight} is not a factor; give a finite number of 0 or more")
        for name in ("start_step", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)} is before the run begins; give 0 or more")
        if self.stop_step is not None and self.stop_step <= self.start_step:
            raise ConfigError(f"stop_step={self.stop_step} leaves no step after start_step={self.start_step}")

    def weight_at(self, step: int) -> float:
        """Return lambda at optimiser step `step` (counted from 0)."""
        return self.weight * ramp(step, self.start_step, self.warmup_steps, self.stop_step)


def ramp(step: int, start_step: int, warmup_steps: int, stop_step: int | None) -> float:
    """Return 0 before `start_step`, a linear rise to 1 over `warmup_steps`, and 0 again from `stop_step`."""
    if step < start_step or (stop_step is not None and step >= stop_step):
        return 0.0
    if warmup_steps == 0:
        return 1.0
    return min(1.0, (step - start_step) / warmup_steps)


class Regularizer:
    """A named term R of the objective with the weight of its settings."""

    def __init__(self, config: RegularizerConfig) -> None:
        self.config = config

    def weight_at(self, step: int) -> float:
        """Return lambda at optimiser step `step`."""
        return self.config.weight_at(step)


class TokenRegularizer(Regularizer, TokenTerm):
    """R as a mean over target tokens of a function of the logits; implement `per_token`."""


class HiddenRegularizer(Regularizer, ABC):
    """R as a mean over target tokens of a function of the hidden states."""

    @abstractmethod
    def token_sum(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Return the sum over this micro-batch's targets, a scalar; `hidden` is [B, T, D]."""


class ParameterRegularizer(Regularizer, ABC):
    """R as a function of the decayed parameters (`optim.param_groups.decayed_parameters`).

    `value` is the same number on every rank, and its gradient with respect to a parameter is the same whether the
    parameter is whole, replicated or a shard of a `DTensor`.
    """

    parameters: dict[str, Tensor]

    def bind(self, parameters: dict[str, Tensor]) -> None:
        """Take the parameters that R acts on, as the optimiser holds them (after sharding)."""
        self.parameters = parameters

    @abstractmethod
    def value(self) -> Tensor:
        """Return R, a plain scalar tensor connected to the parameters."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs; nothing for most regularisers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the state of `state_dict` back; call after `bind`."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but {len(state)} tensors were given")


def sum_over_mesh(terms: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Add up scalars, each computed from the local part of one parameter; give pairs (parameter, scalar).

    Shards are summed over the dimensions of the mesh on which the parameter is sharded (one collective per kind of
    placement, not per parameter). The gradient of the sum with respect to each rank's own scalar is 1.
    """
    plain: list[Tensor] = []
    sharded: dict[Any, list[Tensor]] = {}
    for parameter, scalar in terms:
        if is_spread(parameter):
            sharded.setdefault((parameter.device_mesh, parameter.placements), []).append(scalar)
        else:
            plain.append(scalar)
    for (mesh, placements), scalars in sharded.items():
        plain.append(_sum_of_all_ranks(torch.stack(scalars).sum(), mesh, placements))
    return torch.stack(plain).sum()


def _sum_of_all_ranks(scalar: Tensor, mesh: Any, placements: Any) -> Tensor:
    from torch.distributed.tensor import DTensor, Partial, Replicate

    kinds = [Replicate() if placement.is_replicate() else Partial() for placement in placements]
    return DTensor.from_local(scalar, mesh, kinds, run_check=False).full_tensor()


def local_part(parameter: Tensor) -> Tensor:
    """Return this rank's part of a parameter, connected to the graph; the parameter itself when it is not sharded."""
    return parameter.to_local() if is_spread(parameter) else parameter


def whole(parameter: Tensor) -> Tensor:
    """Return the whole parameter, gathered when it is sharded, connected to the graph."""
    return parameter.full_tensor() if is_spread(parameter) else parameter
