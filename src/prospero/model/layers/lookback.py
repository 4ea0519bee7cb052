"""One-token look-back: a position may mix in the token before it, which attention otherwise has to learn first.

`smear` does it once, on the embeddings, with a gate that depends on the token (the modded-nanogpt records, 2025);
`shift` does it before every layer, with a gate per channel (token shift of RWKV, Peng et al. 2023, arXiv:2305.13048).
"""

from enum import Enum

import torch
from torch import Tensor, nn

from prospero.model.layers.attention import Shared


class Lookback(Enum):
    """Where a position may mix in the token before it."""

    none = "none"
    smear = "smear"
    shift = "shift"


class Smear(nn.Module):
    """x_t + tanh(w . x_t + b) x_(t-1), starting as the identity."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d_model, 1)

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """Mix along the time of x [B, T, D]."""
        return x + torch.tanh(self.gate(x)).to(x.dtype) * previous(x, shared, "smear")

    def reset_parameters(self) -> None:
        """Close the gate."""
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)


class Shift(nn.Module):
    """x_t + mix * (x_(t-1) - x_t) per channel, starting as a ramp from 0 to 1/2 over the channels."""

    def __init__(self, d_model: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.mix = nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """Mix along the time of x [B, T, D]."""
        return torch.lerp(x, previous(x, shared, self.name), self.mix.to(x.dtype))

    def reset_parameters(self) -> None:
        """Let the first channels keep to themselves and the last take half from the token before."""
        with torch.no_grad():
            self.mix.copy_(torch.linspace(0, 0.5, self.mix.shape[0]))


def previous(x: Tensor, shared: Shared, name: str) -> Tensor:
    """Return x [B, T, D] moved one place later; zero at the start of a row or document, or what the cache holds."""
    first = x.new_zeros(x.shape[0], 1, x.shape[2])
    if shared.cache is not None:
        first = shared.cache.previous.get(name, first).to(x.dtype)
        shared.cache.previous[name] = shared.cache.last_real(x)
    moved = torch.cat((first, x[:, :-1]), dim=1)
    return moved if shared.starts is None else moved.masked_fill(shared.starts.unsqueeze(-1), 0)
