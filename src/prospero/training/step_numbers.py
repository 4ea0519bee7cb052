"""The numbers of the optimiser step that runs, kept on the device until the step that logs."""

import torch
from torch import Tensor

from prospero.objective.by_source import means_by_source
from prospero.processes.ranks import sum_over_ranks


class StepNumbers:
    """Parts of the objective, gradient norm and learning rate of a step."""

    def __init__(self) -> None:
        self.lr = 0.0
        self.grad_norm: Tensor | None = None
        self._parts: list[dict[str, Tensor]] = []
        self._observed: list[dict[str, Tensor]] = []

    def add_parts(self, parts: dict[str, Tensor], *, first: bool, observed: dict[str, Tensor] | None = None) -> None:
        """Take the parts of a micro-batch's objective, and what it observed besides; the first of a step begins anew.

        Every step is taken in, since a step may turn out to be the last, which is logged, only after it.
        """
        if first:
            self._parts, self._observed, self.grad_norm = [], [], None
        self._parts.append(parts)
        self._observed.append(observed or {})

    def metrics(self, world_size: int) -> dict[str, float]:
        """Return train/loss, its parts, what was observed, train/lr, train/grad_norm over all ranks; a collective."""
        names = list(self._parts[0]) if self._parts else []
        metrics: dict[str, float] = {}
        if names:
            values = _over_ranks(self._parts, world_size)
            metrics["train/loss"] = sum(values.values())
            metrics.update({f"train/loss/{name}": value for name, value in values.items() if len(names) > 1})
            observed = means_by_source(_over_ranks(self._observed, world_size))
            metrics.update({f"train/{name}": value for name, value in observed.items()})
        self._parts, self._observed = [], []
        metrics["train/lr"] = float(self.lr)
        if self.grad_norm is not None:
            metrics["train/grad_norm"] = float(self.grad_norm)
        return metrics


def _over_ranks(micro_steps: list[dict[str, Tensor]], world_size: int) -> dict[str, float]:
    """Return the sum over micro-steps of the mean over ranks of each number."""
    names = list(micro_steps[0])
    if not names:
        return {}
    mine = torch.stack([torch.stack([numbers[name].float() for numbers in micro_steps]).sum() for name in names])
    return dict(zip(names, (sum_over_ranks(mine) / world_size).tolist()))
