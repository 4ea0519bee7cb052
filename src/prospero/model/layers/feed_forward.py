"""The feed-forward layer, plain or gated (GLU: Shazeer 2020, arXiv:2002.05202; relu2: So et al. 2021)."""

from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Activation(Enum):
    """The non-linearity between the products of the feed-forward layer; the names with `glu` have a gate."""

    swiglu = "swiglu"
    geglu = "geglu"
    geglu_exact = "geglu_exact"
    reglu = "reglu"
    gelu = "gelu"
    gelu_exact = "gelu_exact"
    relu2 = "relu2"
    relu = "relu"
    silu = "silu"


GATED = frozenset({Activation.swiglu, Activation.geglu, Activation.geglu_exact, Activation.reglu})
"""Those that multiply a linear part with the non-linear one, and have three matrices."""


def apply_activation(activation: Activation, x: Tensor) -> Tensor:
    """Return the non-linearity of x; `gelu` in its tanh form, as in GPT-2, `gelu_exact` by the error function."""
    if activation in (Activation.swiglu, Activation.silu):
        return F.silu(x)
    if activation in (Activation.gelu, Activation.geglu):
        return F.gelu(x, approximate="tanh")
    if activation in (Activation.gelu_exact, Activation.geglu_exact):
        return F.gelu(x, approximate="none")
    if activation is Activation.relu2:
        return F.relu(x).square() if torch.compiler.is_compiling() or not x.requires_grad else _ReLU2.apply(x)
    return F.relu(x)


class _ReLU2(torch.autograd.Function):
    """relu(x)^2, whose gradient 2 relu(x) takes two passes over memory; that of the two operations takes four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rectified = F.relu(x)
        ctx.save_for_backward(rectified)
        return rectified * rectified

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (rectified,) = ctx.saved_tensors
        return torch.mul(grad, rectified).mul_(2)


def default_d_ff(activation: Activation, d_model: int) -> int:
    """Return 4 d_model; for gated layers, which have three matrices, 8/3 d_model rounded up to a multiple of 64."""
    if activation in GATED:
        return -(-8 * d_model // (3 * 64)) * 64
    return 4 * d_model


class FeedForward(nn.Module):
    """[B, T, D] -> [B, T, D] through d_ff."""

    def __init__(self, d_model: int, d_ff: int, activation: Activation, bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.gate = nn.Linear(d_model, d_ff, bias=bias) if activation in GATED else None
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map each position of x [B, T, D] by itself."""
        if self.gate is not None:
            return self.down(apply_activation(self.activation, self.gate(x)) * self.up(x))
        return self.down(apply_activation(self.activation, self.up(x)))
