"""Schedule-free AdamW: an average of the iterates takes the place of the learning rate's decay."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.optim.adamw import check_at_least_zero, check_betas
from prospero.optim.closure import loss_of
from prospero.optim.param_groups import decay_groups
from prospero.optim.sharded import local, local_grad
from prospero.optim.state import Float32State, zeros_like
from prospero.optim.width_rule import SCHEDULE_FREE_RATE, rate_of_width


@dataclass(kw_only=True, slots=True)
class ScheduleFreeConfig:
    """Schedule-free AdamW (Defazio et al. 2024, arXiv:2405.15682).

    To be used with schedule=constant and no warm-up there: it has its own. Whatever schedule is chosen, the learning
    rate it gives is the one that is used, and steps at a low rate weigh little in the average. It wants a higher peak
    rate than AdamW with a schedule (the paper: 1 to 10 times). What is validated and kept is the average.
    """

    lr: float | None = None
    """Peak learning rate; null takes it from the model's width: SCHEDULE_FREE_RATE x 768 / d_model."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """Share of the average in the point where gradients are taken, and decay of the average of the squared gradient."""
    eps: float = 1e-8
    """Added to the root of the average of the squared gradient."""
    weight_decay: float = 0.1
    """Decoupled decay per unit of learning rate, at the point where gradients are taken; norms, biases and embeddings
    are left out."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises linearly from nothing."""
    weight_lr_power: float = 2.0
    """A step's weight in the average is the largest learning rate so far to this power."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, eps=self.eps, weight_decay=self.weight_decay)
        check_at_least_zero(weight_lr_power=self.weight_lr_power)
        check_betas("betas", self.betas)
        if self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps={self.warmup_steps} cannot be; give 0 or more steps")

    def build(self, model: nn.Module) -> "ScheduleFree":
        """Return the optimiser over the model's decayed and undecayed group."""
        return ScheduleFree(
            decay_groups(model, self.weight_decay),
            lr=rate_of_width("lr", self.lr, model, SCHEDULE_FREE_RATE),
            betas=(self.betas[0], self.betas[1]),
            eps=self.eps,
            warmup_steps=self.warmup_steps,
            weight_lr_power=self.weight_lr_power,
        )


class ScheduleFree(Float32State):
    """z <- z - lr (g / sqrt(v) + weight_decay y);  x <- (1 - c) x + c z;  y <- (1 - b1) z + b1 x, with g taken at y.

    The parameter holds y; z and x stand in the state, so that x can be measured without changing anything.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        weight_lr_power: float = 2.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup_steps": warmup_steps}
        counters = {"steps": 0, "lr_max": 0.0, "weight_sum": 0.0}
        super().__init__(params, defaults | {"weight_lr_power": weight_lr_power} | counters)

    def evaluation_weights(self) -> dict[nn.Parameter, Tensor]:
        """Return x, the average, by parameter; see `prospero.optim.evaluation_weights.HasEvaluationWeights`."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        return {p: self.state[p]["x"] for p in parameters if self.state.get(p)}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; return what `closure` returned."""
        loss = loss_of(closure)
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        for p in parameters:
            if not self.state[p]:
                start = p.detach().to(torch.float32)
                self.state[p] = {"z": start.clone(), "x": start.clone(), "exp_avg_sq": zeros_like(p)}
        lr, share = _rate_and_share(group)
        beta1, beta2 = group["betas"]
        ys, grads = [local(p) for p in parameters], [local_grad(p).float() for p in parameters]
        zs, xs, squares = ([local(self.state[p][key]) for p in parameters] for key in ("z", "x", "exp_avg_sq"))
        torch._foreach_mul_(squares, beta2)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)  # pyright: ignore[reportPrivateImportUsage]
        roots = torch._foreach_div(squares, 1 - beta2 ** group["steps"])  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_sqrt_(roots)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(roots, group["eps"])  # pyright: ignore[reportPrivateImportUsage]
        updates = torch._foreach_div(grads, roots)  # pyright: ignore[reportPrivateImportUsage]
        if group["weight_decay"]:
            whole = [y.float() for y in ys]
            torch._foreach_add_(updates, whole, alpha=group["weight_decay"])  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(zs, updates, alpha=-lr)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_lerp_(xs, zs, share)  # pyright: ignore[reportPrivateImportUsage]
        for y, new in zip(ys, torch._foreach_lerp(zs, xs, beta1)):  # pyright: ignore[reportPrivateImportUsage]
            y.copy_(new)


def _rate_and_share(group: dict[str, Any]) -> tuple[float, float]:
    """Count a step of `group`; return its learning rate after warm-up and c, the share of z in the average."""
    group["steps"] += 1
    warmup = min(1.0, group["steps"] / group["warmup_steps"]) if group["warmup_steps"] else 1.0
    lr = float(group["lr"]) * warmup
    group["lr_max"] = max(group["lr_max"], lr)
    weight = group["lr_max"] ** group["weight_lr_power"]
    group["weight_sum"] += weight
    return lr, weight / group["weight_sum"] if group["weight_sum"] else 0.0
