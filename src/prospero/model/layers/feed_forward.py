"""The feed-forward layer: SwiGLU (Shazeer 2020, arXiv:2002.05202), GELU, or squared ReLU (So et al. 2021)."""

from enum import Enum

from torch import Tensor, nn
from torch.nn import functional as F


class Activation(Enum):
    """The non-linearity between the two products of the feed-forward layer."""

    swiglu = "swiglu"
    gelu = "gelu"
    relu2 = "relu2"


def default_d_ff(activation: Activation, d_model: int) -> int:
    """Return 4 d_model; for SwiGLU, which has three matrices, 8/3 d_model rounded up to a multiple of 64."""
    if activation is Activation.swiglu:
        return -(-8 * d_model // (3 * 64)) * 64
    return 4 * d_model


class FeedForward(nn.Module):
    """[B, T, D] -> [B, T, D] through d_ff; GELU in its tanh form, as in GPT-2."""

    def __init__(self, d_model: int, d_ff: int, activation: Activation, bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.gate = nn.Linear(d_model, d_ff, bias=bias) if activation is Activation.swiglu else None
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map each position of x [B, T, D] by itself."""
        if self.gate is not None:
            return self.down(F.silu(self.gate(x)) * self.up(x))
        if self.activation is Activation.gelu:
            return self.down(F.gelu(self.up(x), approximate="tanh"))
        return self.down(F.relu(self.up(x)).square())
