"""Intervals around a measured number, and the difference of two, from the items that it was measured on.

The bootstrap (Efron and Tibshirani 1993): draw as many items as there are, with replacement, many times, and see how
far the number moves. Numbers are functions of summed statistics, so a resample is a row of weights times the rows of
the items. The ends are those of the bias-corrected and accelerated bootstrap (BCa; Efron 1987), widened to what
Student's t asks for at few items (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3), which
a plain percentile interval leaves out: it is too narrow by a factor of about sqrt((n - 1) / n) z / t. A share of yes
and no has Wilson's interval (1927), which is right where all items agree and a resample cannot differ.

Shapes: n items, S statistics, R resamples.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

Finish = Callable[[np.ndarray], np.ndarray]
"""Sums [..., S] -> values [...]."""
MOST_WEIGHTS = 4_000_000
"""Weights held at a time: 32 MB."""


def interval(
    rows: np.ndarray, finish: Finish, *, share: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the ends of the interval that covers the true number in `share` of all cases.

    `rows` are the statistics of the items, float64 [n, S]; `finish` makes numbers of sums. (NaN, NaN) where no spread
    is known: for fewer than two items, where all give the same number, and where `finish` yields none.
    """
    if len(rows) < 2:
        return float("nan"), float("nan")
    if _is_share(rows, finish):
        return _wilson(float(finish(rows).sum()), len(rows), share)
    drawn = finish(_resampled_sums(rows, resamples, seed))
    known = drawn[np.isfinite(drawn)]
    if len(known) and np.ptp(known) <= 1e-9 * np.abs(known).max():
        return float("nan"), float("nan")
    return _ends(drawn, _spread(rows, finish), share)


def paired_difference(
    rows_a: np.ndarray,
    rows_b: np.ndarray,
    finish: Finish,
    *,
    share: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float, float]:
    """Return (A minus B, low, high, p) of a number that both were measured on the same items for, row for row.

    An item keeps its two rows together, so that what makes an item hard for both cancels. The interval is the
    bootstrap's; p is of the test by approximate randomisation (Noreen 1989; Riezler and Maxwell 2005), whose rate of
    false verdicts stays at its level also where few items make the difference: near the level the two may disagree,
    and p decides. NaN but for the difference with fewer than two items; p is 1 where no item differs. ValueError when
    the rows do not belong together.
    """
    if np.shape(rows_a) != np.shape(rows_b):
        raise ValueError(f"rows of {np.shape(rows_a)} and of {np.shape(rows_b)} are not of the same items")
    width = rows_a.shape[1]

    def difference(sums: np.ndarray) -> np.ndarray:
        return finish(sums[..., :width]) - finish(sums[..., width:])

    rows = np.concatenate([rows_a, rows_b], axis=1)
    found = float(difference(rows.sum(axis=0))) if len(rows) else float("nan")
    if len(rows) < 2:
        return found, float("nan"), float("nan"), float("nan")
    if np.array_equal(rows_a, rows_b):
        return found, found, found, 1.0
    drawn = difference(_resampled_sums(rows, resamples, seed))
    spread = _spread(rows, difference)
    return found, *_ends(drawn, spread, share), _p_value(rows_a, rows_b, finish, resamples, seed)


def _resampled_sums(rows: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the sums [R, S] of n rows drawn with replacement, R times; a piece of the weights at a time."""
    generator, n = np.random.default_rng(seed), len(rows)
    step = max(1, MOST_WEIGHTS // n)
    sums = np.empty((resamples, rows.shape[1]))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        sums[start : start + count] = weights.astype(np.float64) @ rows
    return sums


class _Spread:
    """What the interval needs of the sample: its number, its acceleration, how many items."""

    __slots__ = ("acceleration", "items", "value")

    def __init__(self, value: float, acceleration: float, items: int) -> None:
        self.value, self.acceleration, self.items = value, acceleration, items


def _spread(rows: np.ndarray, finish: Finish) -> _Spread:
    """Return the number and its acceleration, a sixth of the skewness of the influences, by leaving each item out."""
    sums = rows.sum(axis=0)
    without = finish(sums - rows)
    influence = np.nanmean(without) - without if np.isfinite(without).any() else np.zeros(len(rows))
    influence = np.nan_to_num(influence)
    squares = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    return _Spread(float(finish(sums)), acceleration, len(rows))


def _bias(drawn: np.ndarray, value: float) -> float:
    """Return z0: the quantile of the normal distribution at which the number lies among the resampled ones."""
    below = ((drawn < value).sum() + 0.5 * (drawn == value).sum() + 0.5) / (len(drawn) + 1)
    return float(ndtri(below))


def _ends(drawn: np.ndarray, spread: _Spread, share: float) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(spread.value):
        return float("nan"), float("nan")
    bias, n = _bias(drawn, spread.value), spread.items
    reach = np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + share) / 2)
    moved = bias + np.array([-reach, reach])
    places = ndtr(bias + moved / np.maximum(1 - spread.acceleration * moved, 1e-9))
    low, high = np.quantile(drawn, places)
    return float(low), float(high)


def _p_value(rows_a: np.ndarray, rows_b: np.ndarray, finish: Finish, resamples: int, seed: int) -> float:
    """Return how often the difference is as large when each item's two rows are swapped or not by a coin.

    A tie counts half (Lancaster 1961, the mid-p value): with few items that differ, ties are many.
    """
    generator, n = np.random.default_rng(seed), len(rows_a)
    whole, change, both = rows_b.sum(axis=0), rows_a - rows_b, rows_a.sum(axis=0) + rows_b.sum(axis=0)
    found = abs(float(finish(rows_a.sum(axis=0)) - finish(whole)))
    step = max(1, MOST_WEIGHTS // n)
    drawn = []
    for start in range(0, resamples, step):
        coins = generator.integers(2, size=(min(step, resamples - start), n)).astype(np.float64)
        first = whole + coins @ change
        drawn.append(np.abs(finish(first) - finish(both - first)))
    sizes = np.concatenate(drawn)
    sizes = sizes[np.isfinite(sizes)]
    if not len(sizes) or not np.isfinite(found):
        return float("nan")
    same = np.isclose(sizes, found, rtol=1e-9, atol=0)
    return float(((sizes > found) & ~same).sum() + same.sum() / 2 + 0.5) / (len(sizes) + 1)


def _is_share(rows: np.ndarray, finish: Finish) -> bool:
    """Whether the number is the share of items that are 1, and not 0; a mean of [0, 1] that has been 0 or 1 so far.

    The last statistic is then the count, and the others may belong to other numbers of the same metric (pass@k).
    """
    if rows.shape[1] < 2 or not (rows[:, -1] == 1).all() or not np.isin(finish(rows), (0, 1)).all():
        return False
    probe = np.ones((2, rows.shape[1])) * [[1.0], [3.0]]
    probe[:, -1] = 4.0
    return bool(np.array_equal(finish(probe), [0.25, 0.75]))


def _wilson(ones: float, n: int, share: float) -> tuple[float, float]:
    z2 = float(ndtri((1 + share) / 2)) ** 2
    middle = (ones + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (ones * (n - ones) / n + z2 / 4)) / (n + z2)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
