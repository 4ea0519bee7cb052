"""Muon for the hidden matrices and AdamW for everything else, as one optimiser."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import nn

from prospero.errors import ConfigError
from prospero.model.base import LanguageModel
from prospero.optim.adamw import check_at_least_zero, check_betas, has_fused
from prospero.optim.closure import loss_of
from prospero.optim.newton_schulz import ProductType, orthogonalize, product_dtype
from prospero.optim.param_groups import check_cover, hidden_matrices, is_decayed, trainable_parameters
from prospero.optim.sharded import gather, local, local_grad, part_of
from prospero.optim.width_rule import REST_RATE, rate_of_width

FIRST_MOMENTUM = 0.85
"""Where the momentum's warm-up begins, as in the modded-nanogpt records (2024) and nanochat."""


class LrScale(Enum):
    """How a matrix's shape scales its step."""

    original = "original"
    match_rms_adamw = "match_rms_adamw"


@dataclass(kw_only=True, slots=True)
class MuonConfig:
    """Muon on the 2-D hidden matrices, AdamW on embeddings, head, norms and biases (Jordan et al. 2024).

    Both decays are decoupled. A schedule multiplies both learning rates.
    """

    lr: float = 0.02
    """Peak learning rate of the hidden matrices."""
    momentum: float = 0.95
    """Decay of the average of the gradient."""
    momentum_warmup_steps: int = 300
    """Steps over which the momentum rises linearly from FIRST_MOMENTUM; a lower momentum is constant."""
    nesterov: bool = True
    """Look ahead along the momentum."""
    weight_decay: float = 0.01
    """Decoupled decay of the hidden matrices per unit of learning rate."""
    ns_steps: int = 5
    """Newton-Schulz iterations."""
    ns_dtype: ProductType = ProductType.auto
    """Number format of the iterations' products: bfloat16, float32, or auto: that of the run's precision (bfloat16 in
    a run in bfloat16 on a processor that has instructions for it, else float32)."""
    lr_scale: LrScale = LrScale.original
    """original: max(1, rows / columns)^0.5 (Jordan); match_rms_adamw: 0.2 max(rows, columns)^0.5 (arXiv:2502.16982)."""
    adamw_lr: float | None = None
    """Peak learning rate of the rest; null takes it from the model's width: REST_RATE x (768 / d_model)^0.5."""
    adamw_betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """AdamW's decay of the averages of the gradient and of its square."""
    adamw_eps: float = 1e-8
    """Added to the root of AdamW's second average."""
    adamw_weight_decay: float = 0.1
    """Decoupled decay per unit of AdamW's learning rate; acts on the head, not on embeddings, norms and biases."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, weight_decay=self.weight_decay, adamw_lr=self.adamw_lr)
        check_at_least_zero(adamw_eps=self.adamw_eps, adamw_weight_decay=self.adamw_weight_decay)
        check_betas("adamw_betas", self.adamw_betas)
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum={self.momentum} cannot be; give a number from 0 to below 1")
        if self.momentum_warmup_steps < 0:
            raise ConfigError(f"momentum_warmup_steps={self.momentum_warmup_steps} cannot be; give 0 or more steps")
        if not 1 <= self.ns_steps <= 100:
            raise ConfigError(f"ns_steps={self.ns_steps} cannot be; give 1 to 100 iterations (5 is usual)")

    def build(self, model: nn.Module) -> "Muon":
        """Return the optimiser: the hidden matrices to Muon, the decayed and undecayed rest to AdamW."""
        matrices, decayed = hidden_matrices(model), is_decayed(model)
        rest = {name: p for name, p in trainable_parameters(model).items() if name not in matrices}
        groups = [
            {
                "name": "matrices",
                "params": list(matrices.values()),
                "lr": self.lr,
                "weight_decay": self.weight_decay,
                "momentum": self.momentum,
                "momentum_warmup_steps": self.momentum_warmup_steps,
                "steps": 0,
                "nesterov": self.nesterov,
                "ns_steps": self.ns_steps,
                "ns_dtype": self._product_type(model).value,
                "lr_scale": self.lr_scale.value,
            },
            {"name": "decay", "params": [p for name, p in rest.items() if decayed[name]]},
            {"name": "no_decay", "params": [p for name, p in rest.items() if not decayed[name]], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        check_cover(model, groups)
        return Muon(
            groups,
            adamw_lr=rate_of_width("adamw_lr", self.adamw_lr, model, REST_RATE, power=0.5),
            adamw_betas=(self.adamw_betas[0], self.adamw_betas[1]),
            adamw_eps=self.adamw_eps,
            adamw_weight_decay=self.adamw_weight_decay,
        )

    def _product_type(self, model: nn.Module) -> ProductType:
        """Return float32 where auto meets a model that is trained in float32, else the setting itself."""
        narrow = isinstance(model, LanguageModel) and model.compute_dtype is not torch.float32
        return ProductType.float32 if self.ns_dtype is ProductType.auto and not narrow else self.ns_dtype


class Muon(torch.optim.Optimizer):
    """One optimiser of two rules: the group named `matrices` by Muon's, every other group by `torch.optim.AdamW`.

    An inner AdamW works on this optimiser's own groups and state, which it is handed anew at each step: there is one
    state dict, and schedules, clipping and checkpoints see one optimiser. Values equal those of `torch.optim.Muon`
    (which has no warm-up of the momentum) within the rounding of the products. Sharded matrices are gathered one kind
    at a time, since orthogonalising needs the whole matrix; each rank then keeps its part of the step.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        adamw_lr: float,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        adamw_weight_decay: float = 0.0,
    ) -> None:
        rest = [group for group in groups if group["name"] != "matrices"]
        if rest:  # an AdamW made for the moment enters all its settings into the groups
            fused = has_fused(p for group in rest for p in group["params"])
            torch.optim.AdamW(
                rest, lr=adamw_lr, betas=adamw_betas, eps=adamw_eps, weight_decay=adamw_weight_decay, fused=fused
            )
        super().__init__([group for group in groups if group["name"] == "matrices"] + rest, {})
        self._adamw = self._inner()

    def _inner(self) -> torch.optim.AdamW | None:
        rest = [group for group in self.param_groups if group["name"] != "matrices"]
        return torch.optim.AdamW(rest) if rest else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, a pickle or `load_state_dict`, none of which holds the inner optimiser."""
        super().__setstate__(state)
        self._adamw = self._inner()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; return what `closure` returned."""
        loss = loss_of(closure)
        for group in self.param_groups:
            if group["name"] == "matrices":
                self._step_matrices(group)
        if self._adamw is not None:
            self._adamw.param_groups = [group for group in self.param_groups if group["name"] != "matrices"]
            self._adamw.state = self.state
            self._adamw.step()
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [local(self.state[p]["momentum_buffer"]) for p in parameters]
        grads = [local_grad(p) for p in parameters]
        momentum = momentum_at(group["steps"], group["momentum"], group["momentum_warmup_steps"])
        group["steps"] += 1
        torch._foreach_lerp_(momenta, grads, 1 - momentum)  # pyright: ignore[reportPrivateImportUsage]
        directions = torch._foreach_lerp(grads, momenta, momentum) if group["nesterov"] else momenta  # pyright: ignore[reportPrivateImportUsage]
        dtype = product_dtype(ProductType(group["ns_dtype"]), directions[0].device)
        whole = [gather(p, direction) for p, direction in zip(parameters, directions)]
        lr = float(group["lr"])
        torch._foreach_mul_([local(p) for p in parameters], 1 - lr * group["weight_decay"])  # pyright: ignore[reportPrivateImportUsage]
        for p, update in zip(parameters, orthogonalize(whole, group["ns_steps"], dtype)):
            scale = _lr_scale(LrScale(group["lr_scale"]), *p.shape)
            local(p).add_(part_of(p, update), alpha=-lr * scale)


def momentum_at(step: int, momentum: float, warmup_steps: int) -> float:
    """Return the momentum of step `step`, counted from 0: early on, gradients go out of date faster than later."""
    if step >= warmup_steps:
        return momentum
    first = min(FIRST_MOMENTUM, momentum)
    return first + (momentum - first) * step / warmup_steps


def _lr_scale(kind: LrScale, rows: int, columns: int) -> float:
    if kind is LrScale.original:
        return math.sqrt(max(1.0, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns))
