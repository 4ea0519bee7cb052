"""The learning-rate range test: raise the rate exponentially over some steps and see where the loss falls fastest.

Smith 2017 (arXiv:1506.01186); smoothing and stopping rule as Gugger describes them for fastai.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prospero.errors import ConfigError

_LEAST_POINTS = 8


@dataclass(slots=True)
class LRCurve:
    """What the range test saw, and what it advises. Rates are those of the optimiser's first group."""

    lrs: list[float]
    """Learning rate of each step."""
    losses: list[float]
    """Loss of each step, before the step was taken."""
    smoothed: list[float]
    """Exponential average of the losses, without the bias of its start."""
    diverged: bool
    """True when the test ended because the loss blew up."""
    steepest: float
    """The rate at which the smoothed loss falls fastest per decade of learning rate."""
    tenth_of_minimum: float
    """A tenth of the rate at which the smoothed loss is lowest."""

    @property
    def suggestion(self) -> float:
        """The smaller of the two advised rates."""
        return min(self.steepest, self.tenth_of_minimum)


def lr_range_test(
    backward: Callable[[], Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    start_lr: float = 1e-6,
    end_lr: float = 1.0,
    steps: int = 100,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> LRCurve:
    """Run the range test and put model, optimiser and random state back exactly as they were.

    `backward` reads the next batch, leaves its gradient in the parameters and returns the loss. Groups keep the ratios
    of their rates. The test stops when the smoothed loss exceeds `divergence` times its minimum or is not finite.
    """
    if not (0 < start_lr < end_lr and math.isfinite(end_lr)):
        raise ConfigError(f"start_lr={start_lr} and end_lr={end_lr} cannot be; give 0 < start_lr < end_lr")
    if steps < _LEAST_POINTS:
        raise ConfigError(f"steps={steps} is too few for a curve; give {_LEAST_POINTS} or more")
    if not 0 <= smoothing < 1:
        raise ConfigError(f"smoothing={smoothing} cannot be; give a number from 0 to below 1")
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, diverged = 0.0, False
    with _restored(model, optimizer):
        peaks = [float(group["lr"]) for group in optimizer.param_groups]
        if peaks[0] <= 0:
            raise ConfigError(f"lr={peaks[0]} of the first group gives no scale; give a learning rate above 0")
        for i in range(steps):
            lr = start_lr * (end_lr / start_lr) ** (i / (steps - 1))
            for group, peak in zip(optimizer.param_groups, peaks):
                group["lr"] = lr * peak / peaks[0]
            optimizer.zero_grad(set_to_none=True)
            loss = float(backward().detach())
            average = smoothing * average + (1 - smoothing) * loss
            value = average / (1 - smoothing ** (i + 1))
            if not math.isfinite(value) or (smoothed and value > divergence * min(smoothed)):
                diverged = True
                break
            lrs.append(lr)
            losses.append(loss)
            smoothed.append(value)
            optimizer.step()
    if len(lrs) < _LEAST_POINTS:
        raise ConfigError(f"start_lr={start_lr} is too high: the loss blew up after {len(lrs)} steps; give a lower one")
    steepest, minimum = _advice(lrs, smoothed)
    return LRCurve(lrs, losses, smoothed, diverged, steepest, minimum / 10)


def _advice(lrs: list[float], smoothed: list[float]) -> tuple[float, float]:
    """Return (rate of steepest descent, rate of the minimum) of the smoothed curve over log(lr)."""
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    slopes = {
        i: (smoothed[i + 1] - smoothed[i - 1]) / math.log(lrs[i + 1] / lrs[i - 1]) for i in range(1, len(lrs) - 1)
    }
    return lrs[min(slopes, key=slopes.__getitem__)], lrs[lowest]


@contextmanager
def _restored(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Give parameters, buffers, gradients, optimiser and random state back as they were when the block ends."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    grads = [(p, None if p.grad is None else p.grad.detach().clone()) for p in model.parameters()]
    state = copy.deepcopy(optimizer.state_dict())
    devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, values):
                    tensor.copy_(value)
            for p, grad in grads:
                p.grad = grad
            optimizer.load_state_dict(state)
