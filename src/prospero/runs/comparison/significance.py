"""Tests over seeds: intervals of means, differences of two means, how many seeds would tell, several tests at once.

Arrays are [..., n]: the last axis are the seeds of one setting, those before it are comparisons side by side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

LEVEL = 0.05
"""How often a test may see a difference where there is none."""
SHARE = 0.95
"""How often an interval covers the truth: 1 - LEVEL."""
POWER = 0.8
MOST_SEEDS = 1000
"""More are not counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B, its interval, and the chance of one as large where there is none; arrays where many were compared."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    """NaN where it cannot be told: fewer than two values, or values that do not spread at all."""


def interval_of_mean(values: np.ndarray, share: float = SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Student's interval around the mean of `values` [..., n]; NaN for fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    half = _quantile(values.shape[-1] - 1, share) * _standard_error(values)
    return values.mean(axis=-1) - half, values.mean(axis=-1) + half


def welch(a: np.ndarray, b: np.ndarray, share: float = SHARE) -> Difference:
    """Compare means of independent values of perhaps different spread (Welch 1947)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    square_a, square_b = _standard_error(a) ** 2, _standard_error(b) ** 2
    below = square_a**2 / max(a.shape[-1] - 1, 1) + square_b**2 / max(b.shape[-1] - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (square_a + square_b) ** 2 / below  # Satterthwaite 1946
    return _by_student(a.mean(axis=-1) - b.mean(axis=-1), np.sqrt(square_a + square_b), freedom, share)


def paired(a: np.ndarray, b: np.ndarray, share: float = SHARE) -> Difference:
    """Compare means of values that belong together in pairs, place by place (Student 1908)."""
    each = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    freedom = np.full(each.shape[:-1], each.shape[-1] - 1.0)
    return _by_student(each.mean(axis=-1), _standard_error(each), freedom, share)


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p values of tests made together, so that 5 % of such families hold a false one (Holm 1979); NaN stays."""
    given = np.asarray(p, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    order = [int(place) for place in np.argsort(given) if not np.isnan(given[place])]
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, float(given[place]) * (len(order) - rank)))
        adjusted[place] = largest
    return adjusted


def seeds_needed_paired(a: np.ndarray, b: np.ndarray, *, level: float = LEVEL) -> int | None:
    """Return the pairs with which a difference and a spread as seen are found in POWER of all cases."""
    each = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return _fewest(abs(float(each.mean())), float(each.std(ddof=1)), lambda n: n - 1.0, level)


def seeds_needed_welch(a: np.ndarray, b: np.ndarray, *, level: float = LEVEL) -> int | None:
    """Return the seeds of each side with which a difference and spreads as seen are found in POWER of all cases."""
    square_a, square_b = float(np.var(a, ddof=1)), float(np.var(b, ddof=1))
    together = square_a + square_b

    def freedom(n: int) -> float:
        return (n - 1) * together**2 / (square_a**2 + square_b**2)

    return _fewest(abs(float(np.mean(a) - np.mean(b))), together**0.5, freedom, level)


def power(difference: float, spread: float, n: int, freedom: float, level: float = LEVEL) -> float:
    """Return how often a two-sided test of n values that spread by `spread` finds `difference`.

    P(|T| > t) of the noncentral t distribution, its far side left out as too small to count.
    """
    shift = difference / spread * np.sqrt(n)
    found = 1 - special.nctdtr(freedom, shift, _quantile(freedom, 1 - level))
    return float(found) if np.isfinite(found) else float(special.ndtr(shift - _quantile(freedom, 1 - level)))


def _fewest(difference: float, spread: float, freedom: Callable[[int], float], level: float) -> int | None:
    """Return the fewest n of enough power, by halving; None when MOST_SEEDS are too few."""
    if not difference or not spread > 0:
        return None
    few, many = 1, MOST_SEEDS
    if power(difference, spread, many, freedom(many), level) < POWER:
        return None
    while many - few > 1:
        middle = (few + many) // 2
        enough = power(difference, spread, middle, freedom(middle), level) >= POWER
        few, many = (few, middle) if enough else (middle, many)
    return many


def _standard_error(values: np.ndarray) -> np.ndarray:
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)
    return values.std(axis=-1, ddof=1) / np.sqrt(n)


def _quantile(freedom: Any, share: float) -> Any:
    """Return the t within which `share` of Student's distribution lies; NaN without freedom."""
    return special.stdtrit(np.where(np.asarray(freedom) > 0, freedom, np.nan), (1 + share) / 2)


def _by_student(value: np.ndarray, error: np.ndarray, freedom: np.ndarray, share: float) -> Difference:
    error = np.where(error > 0, error, np.nan)
    half = _quantile(freedom, share) * error
    p = 2 * special.stdtr(freedom, -np.abs(value / error))
    return Difference(value, value - half, value + half, p)
