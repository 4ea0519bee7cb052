"""Shares as exact fractions: how much of a step each part is asked to give, so that no rounding adds up over a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

FINEST = 100_000
"""Shares that are no simple fractions (of a temperature, by measured lengths) are rounded to 1 / FINEST."""


@dataclass(frozen=True, slots=True)
class Stage:
    """From optimiser step `step` on (the first is 0), part k is asked for `shares[k]` of each step's sequences."""

    step: int
    shares: tuple[Fraction, ...]


def shares_of(
    weights: Sequence[float], sizes: Sequence[int], lengths: Sequence[float], temperature: float | None
) -> tuple[Fraction, ...]:
    """Return the share of the sequences for each part whose tokens shall be as its weight, all together 1.

    `sizes` are the parts' tokens, which count as sizes^(1 / temperature) where there is one; `lengths` the mean number
    of targets in a sequence of each.
    """
    asked = [Fraction(str(weight)) for weight in weights]
    if temperature is not None:
        largest = max(sizes)
        asked = [share * Fraction((size / largest) ** (1 / temperature)) for share, size in zip(asked, sizes)]
    if len(set(lengths)) > 1:
        asked = [share / Fraction(length) for share, length in zip(asked, lengths)]
    total = sum(asked)
    shares = tuple(share / total for share in asked)
    return shares if max(share.denominator for share in shares) <= FINEST else _rounded(shares)


def _rounded(shares: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Return shares in units of 1 / FINEST by largest remainders; what has a share keeps at least one unit."""
    units = [max(int(share * FINEST), 1) if share else 0 for share in shares]
    left = FINEST - sum(units)
    by_remainder = sorted(range(len(shares)), key=lambda k: (units[k] - shares[k] * FINEST, k))
    for k in by_remainder[: max(left, 0)]:
        units[k] += 1
    units[units.index(max(units))] += min(left, 0)  # what the least units took comes from the largest
    return tuple(Fraction(unit, FINEST) for unit in units)
