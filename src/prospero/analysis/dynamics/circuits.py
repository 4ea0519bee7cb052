"""The two circuits of an attention head, as products of the matrices that the model keeps apart.

OV = W_O W_V says what a head writes where it looks; QK = W_Q^T W_K says where it looks (Elhage et al. 2021, "A
mathematical framework for transformer circuits"). Both are [D, D] of rank H at most, so they are kept as two factors:
nothing of the size of D^2 is needed for their singular values.

Shapes: D d_model, N heads, K key/value heads, H head_dim.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.analysis.dynamics.matrices import MatrixNumbers, numbers_of, singular_values


@dataclass(frozen=True, slots=True)
class Circuit:
    """A matrix left @ right [D, D] as its factors: left [D, H], right [H, D]."""

    left: Tensor
    right: Tensor

    def product(self) -> Tensor:
        """Return the matrix itself."""
        return self.left @ self.right

    def singular_values(self) -> Tensor:
        """Return the H singular values that may differ from 0, the greatest first."""
        _, upper = torch.linalg.qr(self.left.float())
        _, lower = torch.linalg.qr(self.right.float().T)
        return singular_values(upper @ lower.T)

    def numbers(self) -> MatrixNumbers:
        """Return the numbers of the product; rank and condition number are those of the H directions it can use."""
        return numbers_of(self.singular_values(), self.product())

    def update_from(self, before: "Circuit") -> float:
        """Return |self - before| / |before| by Frobenius norms, without making a product; NaN where `before` is 0."""
        length = torch.linalg.vector_norm(before.singular_values())
        difference = Circuit(torch.cat((self.left, -before.left), 1), torch.cat((self.right, before.right), 0))
        moved = torch.linalg.vector_norm(difference.singular_values())
        return float(moved / length) if length > 0 else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMatrices:
    """The weights of one attention layer as its linear layers hold them: [outputs, inputs]."""

    q: Tensor
    """[N H, D]"""
    k: Tensor
    """[K H, D]"""
    v: Tensor
    """[K H, D]"""
    out: Tensor
    """[D, N H]"""
    head_dim: int

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.q.shape[0] // self.head_dim

    def key_value_head(self, head: int) -> int:
        """Return which of the K key/value heads serves query head `head`; neighbours share one."""
        return head * (self.k.shape[0] // self.head_dim) // self.n_heads

    def ov(self, head: int) -> Circuit:
        """Return W_O W_V of `head`: what is read at a place [D] -> what is written [D]."""
        return Circuit(self.out[:, self._rows(head)], self.v[self._rows(self.key_value_head(head))])

    def qk(self, head: int) -> Circuit:
        """Return W_Q^T W_K of `head`: the score of a query x for a key y is x^T QK y, before rotation and norms."""
        return Circuit(self.q[self._rows(head)].T, self.k[self._rows(self.key_value_head(head))])

    def all(self) -> Iterator[tuple[str, int, Circuit]]:
        """Yield ("OV" or "QK", head, circuit) of every head."""
        for head in range(self.n_heads):
            yield "OV", head, self.ov(head)
            yield "QK", head, self.qk(head)

    def _rows(self, head: int) -> slice:
        return slice(head * self.head_dim, (head + 1) * self.head_dim)
