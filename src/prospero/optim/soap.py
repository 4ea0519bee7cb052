"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner.

Legend: a matrix G has N rows and M columns; the left basis is [N, N], the right one [M, M], eigenvectors in columns.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.optim.adamw import check_at_least_zero, check_betas
from prospero.optim.closure import loss_of
from prospero.optim.param_groups import decay_groups
from prospero.optim.sharded import gather, local, local_grad, part_of
from prospero.optim.state import Float32State, zeros_like

TIE_BREAK = 1e-2
"""Gradient of a diagonal, relative to the mean eigenvalue, that tells equal eigenvalues of the first step apart."""

SHIFT = 1e-3
"""Added to every eigenvalue in a turn, relative to their mean, so that rounding does not choose where zeros go."""


@dataclass(kw_only=True, slots=True)
class SOAPConfig:
    """SOAP (Vyas et al. 2024, arXiv:2409.11321).

    A matrix needs, beside Adam's two averages, 2 N^2 + 2 M^2 numbers of state, which every process holds whole under
    every strategy; and its gradient and averages are gathered at each step. The first gradient sets the bases up and
    moves nothing.
    """

    lr: float = 3e-3
    """Peak learning rate."""
    betas: list[float] = field(default_factory=lambda: [0.95, 0.95])
    """Decay of the average of the gradient; of its square in the basis, and of G G^T and G^T G."""
    eps: float = 1e-8
    """Added to the root of the second average."""
    weight_decay: float = 0.1
    """Decoupled decay per unit of learning rate; norms, biases and embeddings are left out."""
    refresh_steps: int = 10
    """Steps between two turns of the bases."""
    max_side: int = 2048
    """Sides of a matrix that are longer are not rotated (a vocabulary, for one); 1 makes it Adam."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, eps=self.eps, weight_decay=self.weight_decay)
        check_betas("betas", self.betas)
        for name in ("refresh_steps", "max_side"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} cannot be; give 1 or more")

    def build(self, model: nn.Module) -> "SOAP":
        """Return the optimiser over the model's decayed and undecayed group."""
        return SOAP(
            decay_groups(model, self.weight_decay),
            lr=self.lr,
            betas=(self.betas[0], self.betas[1]),
            eps=self.eps,
            refresh_steps=self.refresh_steps,
            max_side=self.max_side,
        )


class SOAP(Float32State):
    """Algorithm 3 of the paper; matrices are rotated, everything else is Adam.

    The average of the gradient is kept unrotated and turned when it is used, which is the same; so a turn of the bases
    changes the second average alone. Averages are laid out as the parameter. `left` [2, N, N] and `right` [2, M, M]
    hold the average of G G^T (G^T G) and its basis; they are whole on every process, each of which computes them from
    the same gathered gradient, and never have the shape of a parameter that is rotated.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        refresh_steps: int = 10,
        max_side: int = 2048,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults | {"refresh_steps": refresh_steps, "max_side": max_side, "steps": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; return what `closure` returned."""
        loss = loss_of(closure)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            group["steps"] += bool(parameters)
            for p in parameters:
                if self.state[p]:
                    self._step_parameter(group, p)
                else:
                    self._set_up(group, p)
        return loss

    def _set_up(self, group: dict[str, Any], p: Tensor) -> None:
        state = self.state[p]
        state["exp_avg"], state["exp_avg_sq"] = zeros_like(p), zeros_like(p)
        if p.ndim == 2 and min(p.shape) <= group["max_side"]:
            grad = gather(p, local_grad(p)).float()
            for side, product in _side_products(grad, group["max_side"]):
                factor = product * (1 - group["betas"][1])
                state[side] = torch.stack([factor, first_basis(factor)])

    def _step_parameter(self, group: dict[str, Any], p: Tensor) -> None:
        state, (beta1, beta2), lr = self.state[p], group["betas"], float(group["lr"])
        grad, weight = local_grad(p).float(), local(p)
        left, right = (state[side][1] if side in state else None for side in ("left", "right"))
        rotated = left is not None or right is not None
        average, squares = local(state["exp_avg"]).lerp_(grad, 1 - beta1), local(state["exp_avg_sq"])
        if rotated:
            whole = gather(p, grad)
            squares.lerp_(part_of(p, _rotate(whole, left, right).square_()), 1 - beta2)
            direction = _rotate(gather(p, average), left, right) / gather(p, squares).sqrt().add_(group["eps"])
            direction = part_of(p, _rotate_back(direction, left, right))
        else:
            squares.lerp_(grad.square(), 1 - beta2)
            direction = average / squares.sqrt().add_(group["eps"])
        t = group["steps"] - 1
        size = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        weight.mul_(1 - lr * group["weight_decay"])
        weight.add_(direction.to(weight.dtype), alpha=-size)
        if rotated:
            for side, product in _side_products(whole, group["max_side"]):
                state[side][0].lerp_(product, 1 - beta2)
            if t % group["refresh_steps"] == 0:
                self._turn(p)

    def _turn(self, p: Tensor) -> None:
        """Bring the bases up to date, and the second average into the new order of their vectors."""
        state = self.state[p]
        squares = gather(p, local(state["exp_avg_sq"]))
        for dim, side in enumerate(("left", "right")):
            if side in state:
                basis, order = turned_basis(*state[side])
                state[side][1].copy_(basis)
                squares = squares.index_select(dim, order)
        local(state["exp_avg_sq"]).copy_(part_of(p, squares))


def first_basis(factor: Tensor) -> Tensor:
    """Return the eigenvectors of a symmetric matrix, the largest eigenvalue first.

    One gradient leaves many eigenvalues at zero, whose vectors rounding alone would choose: another number of
    processes would then train another model. A small graded diagonal chooses them instead. In float64, as it is done
    once.
    """
    n = factor.shape[0]
    mean = factor.diagonal().double().mean()
    grades = torch.linspace(1, 0, n, dtype=torch.float64, device=factor.device)
    vectors = torch.linalg.eigh(factor.double() + torch.diag(TIE_BREAK * mean * grades)).eigenvectors
    return vectors.flip(-1).to(factor.dtype)


def turned_basis(factor: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the basis after one step of orthogonal iteration (algorithm 4 of the paper), and its order in the old.

    The shift leaves the eigenvectors as they are, and vectors of eigenvalue zero where they were.
    """
    order = (basis.T @ factor @ basis).diagonal().argsort(descending=True, stable=True)
    ordered = basis[:, order]
    shift = SHIFT * factor.diagonal().mean()
    return torch.linalg.qr(factor @ ordered + shift * ordered).Q, order


def _side_products(grad: Tensor, max_side: int) -> list[tuple[str, Tensor]]:
    """Return G G^T as `left` and G^T G as `right`, each if that side is not too long."""
    products = []
    if grad.shape[0] <= max_side:
        products.append(("left", grad @ grad.T))
    if grad.shape[1] <= max_side:
        products.append(("right", grad.T @ grad))
    return products


def _rotate(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    x = x if left is None else left.T @ x
    return x if right is None else x @ right


def _rotate_back(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    x = x if left is None else left @ x
    return x if right is None else x @ right.T
