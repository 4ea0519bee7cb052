"""What the ranks report to each other once a step, before the weights change: loss, its terms, whether to stop.

One sum over the ranks, of a few numbers. On a CPU its result is there at once. On a CUDA device nobody waits for it:
the numbers of a step are copied to the host in the background and read at the end of the next step.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.processes.ranks import sum_over_ranks

STOP_REASONS = ("SIGINT", "SIGTERM", "SIGUSR1", "STOP file", "max_minutes")
"""Reasons to stop, the weightier first; each is a number that is above zero when some rank has it."""


@dataclass(slots=True)
class StepReport:
    """The numbers of one step, perhaps on their way to the host."""

    step: int
    lr: float
    numbers: "Tensor | list[float]"
    """Loss (mean over the ranks), gradient norm, the terms of the loss, then STOP_REASONS of several ranks."""
    terms: tuple[str, ...] = ()
    """The names of the terms."""
    event: "torch.cuda.Event | None" = None

    def read(self) -> tuple[float, float, list[float]]:
        """Return loss, gradient norm and reasons to stop; waits for the device when the copy is not done."""
        loss, norm, *others = self._on_host()
        return loss, norm, others[len(self.terms) :]

    def not_finite(self) -> list[str]:
        """Return the terms that are not finite on some rank: a sum over the ranks is not when one of them is not."""
        return [name for name, value in zip(self.terms, self._on_host()[2:]) if not math.isfinite(value)]

    def _on_host(self) -> list[float]:
        if self.event is not None:
            self.event.synchronize()
        return self.numbers if isinstance(self.numbers, list) else self.numbers.tolist()


class StepReports:
    """Sends and keeps reports; `lagging` means that a step's numbers are read at the end of the next."""

    def __init__(self, device: torch.device, world_size: int) -> None:
        self.device, self.world_size = device, world_size
        self.lagging = device.type == "cuda"
        self._kept: deque[StepReport] = deque()

    def send(
        self, step: int, lr: float, loss: Tensor, norm: Tensor, terms: Mapping[str, Tensor], reasons: list[float]
    ) -> "bool | Tensor":
        """Take this rank's numbers; return whether loss and gradient norm of all ranks are finite; a collective.

        `terms` have the same names on every rank. The answer is a tensor on the device when lagging.
        """
        if self.lagging:
            return self._send_on_device(step, lr, loss, norm, terms, reasons)
        total = [float(loss), *map(float, terms.values()), *reasons]
        if self.world_size > 1:
            total = sum_over_ranks(torch.tensor(total, device=self.device)).tolist()
        numbers = [total[0] / self.world_size, float(norm), *total[1:]]
        self._kept.append(StepReport(step, lr, numbers, tuple(terms)))
        return math.isfinite(numbers[0]) and math.isfinite(numbers[1])

    def _send_on_device(
        self, step: int, lr: float, loss: Tensor, norm: Tensor, terms: Mapping[str, Tensor], reasons: list[float]
    ) -> Tensor:
        values = torch.stack([loss.float(), *(value.float() for value in terms.values())])
        mine = torch.cat([values, torch.tensor(reasons, device=self.device)]) if reasons else values
        total = sum_over_ranks(mine) if self.world_size > 1 else mine
        norm = norm.detach().reshape(1).to(self.device, torch.float32, non_blocking=True)
        numbers = torch.cat([total[:1] / self.world_size, norm, total[1:]])
        report = StepReport(step, lr, numbers, tuple(terms))
        if self.device.type == "cuda":
            report.numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            report.numbers.copy_(numbers, non_blocking=True)
            report.event = torch.cuda.Event()
            report.event.record()
        self._kept.append(report)
        return torch.isfinite(numbers[:2]).all()

    def due(self, step: int) -> list[StepReport]:
        """Return the reports to be read at the end of `step`: of this step, when lagging of the one before."""
        last = step - 1 if self.lagging else step
        found = []
        while self._kept and self._kept[0].step <= last:
            found.append(self._kept.popleft())
        return found

    def pending(self) -> list[StepReport]:
        """Return the reports that are not read yet; they stay."""
        return list(self._kept)
