"""A run whose numbers stop being numbers ends with this error; it is never finished nor saved over good weights."""

from typing import cast

import torch
from torch import nn

from prospero.errors import ProsperoError


class TrainingDiverged(ProsperoError):
    """The loss, the gradient or the weights are no longer finite, or the loss has left its course."""

    exit_code = 3


class RollBack(TrainingDiverged):
    """The run should go back to its last good checkpoint; raised on every rank after the same step."""


class SkippedStep(Exception):
    """Raised inside the closure of an optimiser, before it changes anything; raised on every rank alike."""


def diverged(what: str, step: int, batch: str) -> TrainingDiverged:
    """Return the error that names `what` went wrong, the optimiser `step` (counted from 1) and the `batch`."""
    return TrainingDiverged(
        f"training diverged: {what} is not finite at step {step} ({batch}). The last good checkpoint is kept; "
        f"try a lower optimizer.lr, a longer schedule.warmup_steps or a smaller trainer.max_grad_norm"
    )


@torch.no_grad()
def weights_are_finite(model: nn.Module) -> bool:
    """Whether every parameter of `model` (of this rank's part when sharded) is finite; one synchronisation."""
    sums = []
    for parameter in model.parameters():
        local = parameter.to_local() if hasattr(parameter, "to_local") else parameter.detach()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        sums.append(cast(torch.Tensor, local).abs().amax().float() if local.numel() else torch.zeros(()))
    return bool(torch.isfinite(torch.stack([s.to(sums[0].device) for s in sums])).all()) if sums else True
