"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), x[i] with x[i + R/2] as in Llama, R the rotated width.

Scaling stretches the wavelengths of a model beyond the length it was trained on: all of them (linear: Chen et al. 2023,
arXiv:2306.15595), the long ones (llama3: Grattafiori et al. 2024, arXiv:2407.21783; yarn: Peng et al. 2023,
arXiv:2309.00071), or each by a number of its own (table: Ding et al. 2024, arXiv:2402.13753).
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prospero.errors import ConfigError


class Scaling(Enum):
    """What happens to the wavelengths."""

    none = "none"
    linear = "linear"
    llama3 = "llama3"
    yarn = "yarn"
    table = "table"


@dataclass(kw_only=True, slots=True)
class RopeScalingConfig:
    """How the wavelengths of the rotary embedding are stretched."""

    kind: Scaling = Scaling.none
    """none, linear (all by `factor`), llama3 or yarn (the long ones by `factor`), or table (each by its `divisors`)."""
    factor: float = 1.0
    """How much longer the longest wavelengths become."""
    original_max_seq_len: int = 8192
    """llama3, yarn: the length before, in tokens."""
    low_freq_factor: float = 1.0
    """llama3: wavelengths above original_max_seq_len / this are stretched in full."""
    high_freq_factor: float = 4.0
    """llama3: wavelengths below original_max_seq_len / this stay."""
    beta_fast: float = 32.0
    """yarn: what turns this often within original_max_seq_len stays."""
    beta_slow: float = 1.0
    """yarn: what turns this often within original_max_seq_len is stretched in full."""
    divisors: list[float] = field(default_factory=list)
    """table: what each of the rotated width / 2 frequencies is divided by."""
    magnitude: float | None = None
    """Factor of the rotated queries and keys; null: 1, for yarn 0.1 ln(factor) + 1."""

    def __post_init__(self) -> None:
        for name in ("factor", "original_max_seq_len", "low_freq_factor", "beta_fast", "beta_slow", "magnitude"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"rope_scaling.{name}={value} is impossible; choose a number above 0")
        if not self.high_freq_factor > self.low_freq_factor:
            raise ConfigError(
                f"rope_scaling.high_freq_factor={self.high_freq_factor} must be above low_freq_factor="
                f"{self.low_freq_factor}"
            )
        if (self.kind is Scaling.table) != bool(self.divisors):
            raise ConfigError("rope_scaling.divisors go with rope_scaling.kind=table, and with no other")
        if not all(divisor > 0 for divisor in self.divisors):
            raise ConfigError(f"rope_scaling.divisors={self.divisors} must all be above 0")

    def scaled(self, frequencies: Tensor, theta: float) -> Tensor:
        """Return `frequencies` [R/2] (1 / wavelength, times 2 pi) as they are after the scaling."""
        if self.kind is Scaling.linear:
            return frequencies / self.factor
        if self.kind is Scaling.table:
            return frequencies / frequencies.new_tensor(self.divisors)
        if self.kind is Scaling.llama3:
            turns = self.original_max_seq_len * frequencies / (2 * math.pi)
            kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        elif self.kind is Scaling.yarn:
            kept = 1 - self._ramp(frequencies, theta)
        else:
            return frequencies
        return torch.lerp(frequencies / self.factor, frequencies, kept.clamp(0, 1))

    def _ramp(self, frequencies: Tensor, theta: float) -> Tensor:
        """Return yarn's share of interpolation: 0 up to the place of beta_fast, 1 from that of beta_slow."""
        half = len(frequencies)

        def place(turns: float) -> float:
            return half * math.log(self.original_max_seq_len / (turns * 2 * math.pi)) / math.log(theta)

        low, high = max(math.floor(place(self.beta_fast)), 0), min(math.ceil(place(self.beta_slow)), 2 * half - 1)
        steps = torch.arange(half, dtype=torch.float32, device=frequencies.device)
        return ((steps - low) / (high - low if high != low else 0.001)).clamp(0, 1)

    @property
    def size(self) -> float:
        """The factor of cosine and sine."""
        if self.magnitude is not None:
            return self.magnitude
        return 0.1 * math.log(self.factor) + 1 if self.kind is Scaling.yarn and self.factor > 1 else 1.0


def rotation(
    positions: Tensor, width: int, theta: float, scaling: RopeScalingConfig | None = None
) -> tuple[Tensor, Tensor]:
    """Return cosine and sine [..., T, R] in float32 of `positions` [..., T]; the two halves of R (`width`) are equal.

    Made anew in each forward (T x R numbers): no buffer that a meta device, a cast or a longer sequence could spoil.
    """
    exponent = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width
    frequencies = theta**-exponent
    if scaling is not None and scaling.kind is not Scaling.none:
        frequencies = scaling.scaled(frequencies, theta)
    angles = positions.float().unsqueeze(-1) * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    if scaling is None or scaling.size == 1.0:
        return angles.cos(), angles.sin()
    return angles.cos() * scaling.size, angles.sin() * scaling.size


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the first R of x [B, N, T, H] by the angles of `rotation` [T, R] or [B, 1, T, R]; the dtype is that of x."""
    width = cos.shape[-1]
    if width < x.shape[-1]:
        return torch.cat((rotate(x[..., :width], cos, sin), x[..., width:]), dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    if torch.compiler.is_compiling():
        low, high = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-high, low), dim=-1) * sin
    return _Rotate.apply(x, cos, sin)


class _Rotate(torch.autograd.Function):
    """Three passes over memory and nothing saved: the gradient is the rotation back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grad, cos, sin, -1), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    half = x.shape[-1] // 2
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(x, cos, out=turned)
    turned[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-direction)
    turned[..., half:].addcmul_(x[..., :half], sin[..., half:], value=direction)
    return turned
