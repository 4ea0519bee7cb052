"""The numbers of the optimiser step that runs, kept on the device until the step that logs."""

import torch
from torch import Tensor

from prospero.processes.ranks import sum_over_ranks


class StepNumbers:
    """Parts of the objective, gradient norm and learning rate of a step."""

    def __init__(self) -> None:
        self.lr = 0.0
        self.grad_norm: Tensor | None = None
        self._parts: list[dict[str, Tensor]] = []

    def add_parts(self, parts: dict[str, Tensor], *, first: bool) -> None:
        """Take the parts of a micro-batch's objective; the first of a step begins anew.

        Every step is taken in, since a step may turn out to be the last, which is logged, only after it.
        """
        if first:
            self._parts, self.grad_norm = [], None
        self._parts.append(parts)

    def metrics(self, world_size: int) -> dict[str, float]:
        """Return train/loss, its parts, train/lr and train/grad_norm over all ranks; a collective."""
        names = list(self._parts[0]) if self._parts else []
        metrics: dict[str, float] = {}
        if names:
            mine = torch.stack([torch.stack([parts[name].float() for parts in self._parts]).sum() for name in names])
            values = (sum_over_ranks(mine) / world_size).tolist()  # parts are means over ranks
            metrics["train/loss"] = sum(values)
            metrics.update({f"train/loss/{name}": value for name, value in zip(names, values) if len(names) > 1})
        self._parts = []
        metrics["train/lr"] = float(self.lr)
        if self.grad_norm is not None:
            metrics["train/grad_norm"] = float(self.grad_norm)
        return metrics
