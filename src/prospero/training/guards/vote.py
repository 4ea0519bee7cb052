"""What the ranks tell each other once a step, before the weights change: the loss, and whether one of them must stop.

One sum over the ranks, of a few numbers. On a CPU its result is there at once. On a CUDA device nobody waits for it:
the numbers of a step are copied to the host in the background and read at the end of the next step.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.distributed import sum_over_ranks

FLAGS = ("SIGINT", "SIGTERM", "SIGUSR1", "STOP file", "max_minutes")
"""Reasons to stop, the weightier first; each is a number that is above zero when some rank has it."""


@dataclass(slots=True)
class Ballot:
    """The numbers of one step on their way to the host."""

    step: int
    lr: float
    numbers: Tensor
    """Loss (mean over the ranks), gradient norm, then FLAGS."""
    event: "torch.cuda.Event | None"

    def read(self) -> tuple[float, float, list[float]]:
        """Return loss, gradient norm and flags; waits for the device when the copy is not done."""
        if self.event is not None:
            self.event.synchronize()
        loss, norm, *flags = self.numbers.tolist()
        return loss, norm, flags


class Vote:
    """Casts and counts; `lagging` means that a step's numbers are read at the end of the next."""

    def __init__(self, device: torch.device, world_size: int) -> None:
        self.device, self.world_size = device, world_size
        self.lagging = device.type == "cuda"
        self._ballots: deque[Ballot] = deque()

    def cast(self, step: int, lr: float, loss: Tensor, norm: Tensor, flags: list[float]) -> Tensor:
        """Take this rank's numbers; return loss and gradient norm [2] of all ranks, on the device; a collective."""
        mine = torch.cat([loss.reshape(1).float(), torch.tensor(flags, device=self.device)])
        total = sum_over_ranks(mine) if self.world_size > 1 else mine
        norm = norm.detach().reshape(1).to(self.device, torch.float32, non_blocking=True)
        numbers = torch.cat([total[:1] / self.world_size, norm, total[1:]])
        event = None
        host = numbers
        if self.device.type == "cuda":
            host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            host.copy_(numbers, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._ballots.append(Ballot(step, lr, host, event))
        return numbers[:2]

    def count(self, step: int) -> list[Ballot]:
        """Return the ballots to be read at the end of `step`: of this step, when lagging of the one before."""
        last = step - 1 if self.lagging else step
        found = []
        while self._ballots and self._ballots[0].step <= last:
            found.append(self._ballots.popleft())
        return found

    def pending(self) -> list[Ballot]:
        """Return the ballots that are not counted yet; they stay."""
        return list(self._ballots)
