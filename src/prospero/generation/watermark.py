"""A watermark on written text and its detector (Kirchenbauer et al. 2023, arXiv:2301.10226).

The key and the token before decide which tokens are green: a share gamma of the vocabulary, another one after each
token. While a text is written, delta is added to the logits of green tokens. Whoever has the key counts how many tokens
of a text are green: without the watermark a share gamma of them, give or take what chance allows.

A token is green where a hash of (key, token before, token) falls below gamma. So the detector needs neither the model
nor the size of its vocabulary, and each pair of tokens is green by a throw of its own; the lists of the paper, of
exactly gamma V tokens, differ from that by a throw of V coins.

Shapes: B rows, V vocabulary, P pairs.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.secret_values import REDACTED

_BITS = 53
"""Of a hash that are compared with gamma; a float64 holds them exactly."""


@dataclass(kw_only=True, slots=True)
class WatermarkKeyConfig:
    """What decides which tokens are green, for who writes and for who looks."""

    key: str | None = None
    """Any text that nobody else knows; it is never written down. null: no watermark."""
    gamma: float = 0.25
    """Share of the vocabulary that is green after a token."""

    def __post_init__(self) -> None:
        if self.key == REDACTED:
            raise ConfigError(f"watermark.key={REDACTED}: the key is never written down; give it again")
        if self.key is not None and not self.key:
            raise ConfigError("watermark.key= is empty; give any text, or null for no watermark")
        if not 0 < self.gamma < 1:
            raise ConfigError(f"watermark.gamma={self.gamma} must lie between 0 and 1")


@dataclass(kw_only=True, slots=True)
class WatermarkConfig(WatermarkKeyConfig):
    """A mark that the key finds again in written text; without a key there is none."""

    delta: float = 2.0
    """What is added to the logits of green tokens (after the temperature): more is found sooner, and reads worse."""

    def __post_init__(self) -> None:
        WatermarkKeyConfig.__post_init__(self)
        if not 0 < self.delta < math.inf:
            raise ConfigError(f"watermark.delta={self.delta} must be above 0; watermark.key=null for no watermark")


@dataclass(frozen=True, slots=True)
class Detection:
    """How much of the watermark a text holds."""

    pairs: int
    """Different pairs of neighbouring tokens: one that comes again says nothing new (Fernandez et al. 2023)."""
    green: int
    """Those of them whose second token is green."""
    gamma: float

    @property
    def z(self) -> float:
        """By how many standard deviations there are more green ones than without a watermark; NaN without pairs."""
        if not self.pairs:
            return math.nan
        return (self.green - self.gamma * self.pairs) / math.sqrt(self.pairs * self.gamma * (1 - self.gamma))

    @property
    def p(self) -> float:
        """The probability of such a z without a watermark (the normal distribution's tail)."""
        return 0.5 * math.erfc(self.z / math.sqrt(2))


def detect(ids: Sequence[int], watermark: WatermarkKeyConfig) -> Detection:
    """Count the green tokens of a text; ConfigError without a key."""
    if watermark.key is None:
        raise ConfigError("watermark.key is not given, and without it there is nothing to look for")
    pairs = sorted(set(pairwise(ids)))
    if not pairs:
        return Detection(0, 0, watermark.gamma)
    before, tokens = torch.tensor(pairs).unbind(dim=1)
    return Detection(len(pairs), int(green(before, tokens, watermark).sum()), watermark.gamma)


def mark(logits: Tensor, watermark: WatermarkConfig, texts: Sequence[Sequence[int]]) -> Tensor:
    """Return logits [B, V] with delta added to the green ones of each row, which holds `texts[i]` so far."""
    before = torch.tensor([ids[-1] for ids in texts], device=logits.device)
    tokens = torch.arange(logits.shape[-1], device=logits.device)
    return torch.where(green(before.unsqueeze(1), tokens, watermark), logits + watermark.delta, logits)


def green(before: Tensor, tokens: Tensor, watermark: WatermarkKeyConfig) -> Tensor:
    """Return which of int64 `tokens` are green after those `before` them, broadcast to one shape."""
    assert watermark.key is not None, "without a key no token is green"
    key = int.from_bytes(hashlib.blake2b(watermark.key.encode(), digest_size=8).digest(), "little", signed=True)
    hashed = _mixed(_mixed(before + key) + tokens)
    return _shifted(hashed, 64 - _BITS) < round(watermark.gamma * 2**_BITS)


def _mixed(x: Tensor) -> Tensor:
    """Return 64 bits that look drawn anew for each x: the finalizer of SplitMix64 (Steele et al. 2014), mod 2^64."""
    x = x - 0x61C8864680B583EB
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Return int64 x shifted right with zeros coming in; torch's own shift repeats the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
