"""Robust numbers of a curve [(step, value), ...]."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

Curve = Sequence[tuple[int, float]]

TO_SIGMA = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution."""


def finite(curve: Curve) -> list[tuple[int, float]]:
    """Return the points that are numbers."""
    return [(step, value) for step, value in curve if math.isfinite(value)]


def before(curve: Curve, place: int, rows: int) -> float:
    """Return the median of the `rows` values before `place`."""
    return median(value for _, value in curve[max(0, place - rows) : place])


def noise(curve: Curve) -> float:
    """Return the standard deviation of the values about their course, by the differences of neighbours.

    The median of |x[i+1] - x[i]| is not moved by single spikes; of independent normal noise it is 0.954 sigma. A fall
    of the whole curve counts as noise, too, which errs on the side of silence.
    """
    jumps = [abs(after - value) for (_, value), (_, after) in pairwise(curve)]
    return median(jumps) * TO_SIGMA / math.sqrt(2) if jumps else 0.0


def integral(curve: Curve, last_step: int) -> float:
    """Return the sum over the steps 1 to `last_step` of a number that is known in some of them, the others as before.

    The first point also stands for the steps before it.
    """
    total, at = 0.0, 0
    for place, (step, value) in enumerate(curve):
        until = curve[place + 1][0] if place + 1 < len(curve) else last_step + 1
        start = 1 if place == 0 else step
        total += value * max(0, until - start)
        at = until
    return total if at else 0.0


def last_values(curve: Curve, share: float = 0.1, least: int = 3) -> list[float]:
    """Return the values of the last `share` of the points, `least` where there are as many."""
    count = max(least, round(share * len(curve)))
    return [value for _, value in curve[-count:]]
