"""Adafactor: the average of the squared gradient kept as a row and a column instead of a matrix.

Legend: a matrix has N rows and M columns.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.optim.adamw import check_at_least_zero
from prospero.optim.closure import loss_of
from prospero.optim.param_groups import decay_groups
from prospero.optim.sharded import local, local_grad, part_of_vector, sum_along, sums_of_parts
from prospero.optim.state import Float32State, zeros_like
from prospero.optim.width_rule import RELATIVE_RATE, rate_of_width


@dataclass(kw_only=True, slots=True)
class AdafactorConfig:
    """Adafactor (Shazeer & Stern 2018, arXiv:1804.04235): nearly no state for matrices, and steps in units of weight.

    The rate is the schedule's alone: the paper's own 1 / sqrt(t), and its warm-up, are schedule=inverse_sqrt. Unlike
    `torch.optim.Adafactor` it keeps its state in float32 under any precision, and it works on sharded models.
    """

    lr: float | None = None
    """Peak learning rate, relative to the root mean square of each parameter; null takes it from the model's width:
    RELATIVE_RATE x 768 / d_model."""
    beta2_decay: float = 0.8
    """The average of squared gradients at step t has decay 1 - t^-beta2_decay."""
    eps: float = 1e-16
    """Added to squared gradients: a gradient that is rounding alone, as of a key's bias, makes no step (as Adam's eps
    of 1e-8 does; the paper's 1e-30 lets it make a full one)."""
    least_rms: float = 1e-3
    """Parameters whose root mean square is smaller move as if it were this; they could not leave zero otherwise."""
    clip_rms: float = 1.0
    """An update with a larger root mean square, before the rate, is scaled down to it."""
    weight_decay: float = 0.0
    """Decoupled decay per unit of learning rate; norms, biases and embeddings are left out."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, eps=self.eps, least_rms=self.least_rms, weight_decay=self.weight_decay)
        if not 0 < self.beta2_decay <= 1:
            raise ConfigError(f"beta2_decay={self.beta2_decay} cannot be; give a number above 0, up to 1")
        if not 0 < self.clip_rms < float("inf"):
            raise ConfigError(f"clip_rms={self.clip_rms} cannot be; give a finite number above 0")

    def build(self, model: nn.Module) -> "Adafactor":
        """Return the optimiser over the model's decayed and undecayed group."""
        return Adafactor(
            decay_groups(model, self.weight_decay),
            lr=rate_of_width("lr", self.lr, model, RELATIVE_RATE),
            beta2_decay=self.beta2_decay,
            eps=self.eps,
            least_rms=self.least_rms,
            clip_rms=self.clip_rms,
        )


class Adafactor(Float32State):
    """V ~ r c^T / mean(r), with r and c averages of the row and column means of g^2 (algorithm 4 of the paper).

    Only matrices are factored; other shapes keep all of V. Row and column are whole on every process, whatever the
    strategy: a matrix that is sharded adds up its sums over the processes, and its gradient is never gathered.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        beta2_decay: float = 0.8,
        eps: float = 1e-16,
        least_rms: float = 1e-3,
        clip_rms: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "least_rms": least_rms, "clip_rms": clip_rms}
        super().__init__(params, defaults | {"weight_decay": weight_decay, "steps": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; return what `closure` returned."""
        loss = loss_of(closure)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step_group(group, parameters)
        return loss

    def _step_group(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        group["steps"] += 1
        change = group["steps"] ** -group["beta2_decay"]
        lr = float(group["lr"])
        updates = [self._update(p, change, group["eps"]) for p in parameters]
        # Two numbers a parameter, added up over the processes of all parameters at once.
        squares = [torch.stack([_square_sum(local(p)), _square_sum(u)]) for p, u in zip(parameters, updates)]
        for p, update, sums in zip(parameters, updates, sums_of_parts(parameters, squares)):
            weight_rms, update_rms = (sums / p.numel()).sqrt().unbind()
            step = weight_rms.clamp(min=group["least_rms"]) / (update_rms / group["clip_rms"]).clamp(min=1.0)
            weight = local(p)
            weight.mul_(1 - lr * group["weight_decay"])
            weight.add_((update * step).to(weight.dtype), alpha=-lr)

    def _update(self, p: Tensor, change: float, eps: float) -> Tensor:
        """Take the gradient of `p` into its averages and return this process's part of g / sqrt(V)."""
        state, grad = self.state[p], local_grad(p).float()
        squared = grad.square().add_(eps)
        if p.ndim != 2:
            if not state:
                state["exp_avg_sq"] = zeros_like(p)
            average = local(state["exp_avg_sq"]).lerp_(squared, change)
            return grad * average.rsqrt()
        if not state:
            state["row"], state["column"] = (squared.new_zeros(size) for size in p.shape)
        row = state["row"].lerp_(sum_along(p, squared, 1) / p.shape[1], change)  # [N]
        column = state["column"].lerp_(sum_along(p, squared, 0) / p.shape[0], change)  # [M]
        factor = part_of_vector(p, (row / row.mean()).rsqrt(), 0)
        return grad * factor[:, None] * part_of_vector(p, column.rsqrt(), 1)


def _square_sum(x: Tensor) -> Tensor:
    return x.float().square().sum()
