"""Lion: the sign of an interpolated momentum; half the state of Adam."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from prospero.optim.adamw import check_at_least_zero, check_betas
from prospero.optim.closure import loss_of
from prospero.optim.param_groups import decay_groups
from prospero.optim.sharded import local, local_grad
from prospero.optim.width_rule import LION_RATE, rate_of_width


@dataclass(kw_only=True, slots=True)
class LionConfig:
    """Lion (Chen et al. 2023, arXiv:2302.06675): three to ten times AdamW's decay at a third to a tenth of its rate."""

    lr: float | None = None
    """Peak learning rate, the size of every weight's step; null takes it from the model's width:
    LION_RATE x 768 / d_model."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])
    """Share of the momentum in the step, and in the next momentum."""
    weight_decay: float = 1.0
    """Decoupled decay per unit of learning rate; norms, biases and embeddings are left out."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, weight_decay=self.weight_decay)
        check_betas("betas", self.betas)

    def build(self, model: nn.Module) -> "Lion":
        """Return the optimiser over the model's decayed and undecayed group."""
        lr = rate_of_width("lr", self.lr, model, LION_RATE)
        return Lion(decay_groups(model, self.weight_decay), lr=lr, betas=(self.betas[0], self.betas[1]))


class Lion(torch.optim.Optimizer):
    """theta <- theta - lr (sign(b1 m + (1 - b1) g) + weight_decay theta);  m <- b2 m + (1 - b2) g."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; return what `closure` returned."""
        loss = loss_of(closure)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            lr, (beta1, beta2) = float(group["lr"]), group["betas"]
            weights, grads = [local(p) for p in parameters], [local_grad(p) for p in parameters]
            momenta = [local(self.state[p]["momentum_buffer"]) for p in parameters]
            directions = torch._foreach_lerp(momenta, grads, 1 - beta1)  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_sign_(directions)  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_add_(weights, directions, alpha=-lr)  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_lerp_(momenta, grads, 1 - beta2)  # pyright: ignore[reportPrivateImportUsage]
        return loss
