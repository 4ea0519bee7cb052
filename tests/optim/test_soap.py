"""SOAP against the authors' program written out for one matrix, its bases, and what it is without them."""

import pytest
import torch
from torch import Tensor, nn

from prospero.optim import soap
from prospero.optim.soap import SOAP, first_basis, turned_basis


class Reference:
    """SOAP for one matrix, line by line as in https://github.com/nikhilvyas/SOAP (soap.py), in float64."""

    def __init__(self, weight: Tensor, lr: float, betas: tuple[float, float], eps: float, every: int) -> None:
        self.w, self.lr, (self.b1, self.b2), self.eps, self.every = weight.double(), lr, betas, eps, every
        self.m, self.v, self.t = torch.zeros_like(self.w), torch.zeros_like(self.w), 0
        self.factors: list[Tensor] = []
        self.bases: list[Tensor] = []

    def step(self, grad: Tensor) -> None:
        grad = grad.double()
        products = [grad @ grad.T, grad.T @ grad]
        if not self.bases:
            self.factors = [(1 - self.b2) * product for product in products]
            self.bases = [first_basis(factor) for factor in self.factors]
            return
        left, right = self.bases
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * (left.T @ grad @ right)  # in the basis, as the authors keep it
        self.v = self.b2 * self.v + (1 - self.b2) * (left.T @ grad @ right) ** 2
        size = self.lr * (1 - self.b2**self.t) ** 0.5 / (1 - self.b1**self.t)
        self.w = self.w - size * left @ (self.m / (self.v.sqrt() + self.eps)) @ right.T
        momentum = left @ self.m @ right.T
        self.factors = [self.b2 * f + (1 - self.b2) * product for f, product in zip(self.factors, products)]
        if self.t % self.every == 0:
            for dim in range(2):
                values = (self.bases[dim].T @ self.factors[dim] @ self.bases[dim]).diagonal()
                order = values.argsort(descending=True)
                self.v = self.v.index_select(dim, order)
                self.bases[dim] = torch.linalg.qr(self.factors[dim] @ self.bases[dim][:, order]).Q
        self.m = self.bases[0].T @ momentum @ self.bases[1]


def test_it_is_the_authors_program(monkeypatch):
    monkeypatch.setattr(soap, "SHIFT", 0.0)
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(4, 4))
    reference = Reference(p.detach().clone(), 0.05, (0.9, 0.95), 1e-8, every=3)
    optimizer = SOAP([p], lr=0.05, betas=(0.9, 0.95), refresh_steps=3)
    start = p.detach().clone()
    for _ in range(12):
        p.grad = torch.randn(4, 4) @ torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5]))
        reference.step(p.grad)
        optimizer.step()
    torch.testing.assert_close(p.detach().double(), reference.w, rtol=1e-4, atol=1e-4)
    assert (p - start).abs().max() > 0.1


def test_without_a_side_to_rotate_it_is_adam_a_step_late():
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(3, 5))
    q = nn.Parameter(p.detach().clone())
    optimizer = SOAP([p], lr=0.1, betas=(0.9, 0.95), eps=0.0, max_side=2)
    adam = torch.optim.Adam([q], lr=0.1, betas=(0.9, 0.95), eps=0.0)
    for step in range(6):
        p.grad = torch.randn(3, 5)
        optimizer.step()
        if step == 0:
            assert torch.equal(p, q)
            continue
        q.grad = p.grad.clone()
        adam.step()
    torch.testing.assert_close(p, q)
    assert optimizer.state[p].keys() == {"exp_avg", "exp_avg_sq"}


def test_a_long_side_is_left_and_bases_stay_orthonormal():
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(9, 4))
    optimizer = SOAP([p], refresh_steps=2, max_side=4)
    for _ in range(7):
        p.grad = torch.randn(9, 4)
        optimizer.step()
    state = optimizer.state[p]
    assert state.keys() == {"exp_avg", "exp_avg_sq", "right"} and state["right"].shape == (2, 4, 4)
    basis = state["right"][1]
    torch.testing.assert_close(basis.T @ basis, torch.eye(4), atol=1e-5, rtol=0)


def test_a_basis_turns_to_the_eigenvectors_and_the_order_is_theirs():
    factor = torch.diag(torch.tensor([1.0, 16.0, 4.0]))
    basis, order = turned_basis(factor, torch.eye(3))
    assert order.tolist() == [1, 2, 0]
    torch.testing.assert_close(basis.abs(), torch.eye(3)[:, [1, 2, 0]])
    first = first_basis(factor)
    assert first.abs().argmax(0).tolist() == [1, 2, 0]


@pytest.mark.parametrize("rank", [1, 3])
def test_rounding_does_not_choose_the_basis_of_a_gradient_of_low_rank(rank):
    torch.manual_seed(0)
    gradient = torch.randn(8, rank)
    other = gradient * (1 + 1e-6 * torch.randn(8, rank))
    bases = [first_basis(g @ g.T) for g in (gradient, other)]
    assert (bases[0] - bases[1]).abs().max() < 1e-3
    turned = [turned_basis(g @ g.T, basis)[0] for g, basis in zip((gradient, other), bases)]
    overlap = (turned[0].T @ turned[1]).abs()
    torch.testing.assert_close(overlap.max(0).values, torch.ones(8), atol=1e-3, rtol=0)


def test_decay_is_apart_from_the_gradient():
    p = nn.Parameter(torch.full((2, 2), 2.0))
    optimizer = SOAP([p], lr=0.1, weight_decay=0.5)
    for _ in range(2):
        p.grad = torch.zeros(2, 2)
        optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full((2, 2), 2.0 * 0.95))
