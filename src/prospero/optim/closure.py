"""The closure of `Optimizer.step`: a function that computes the loss again and returns it."""

from collections.abc import Callable
from typing import Any

import torch


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """Return what `closure` returns, with gradients on as it needs them inside a `step` that runs without; or None."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
