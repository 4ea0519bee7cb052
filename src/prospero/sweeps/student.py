"""Student's t distribution for whole degrees of freedom, exactly: the width of the interval around a mean of few."""

import math


def share_within(angle: float, freedom: int) -> float:
    """Return P(|T| <= tan(angle) sqrt(freedom)) (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), a finite sum."""
    cosine, term, total = math.cos(angle), 1.0, 0.0
    if freedom % 2:
        for power in range(1, freedom - 1, 2):
            term = cosine if power == 1 else term * cosine**2 * (power - 1) / power
            total += term
        return 2 / math.pi * (angle + math.sin(angle) * total)
    for power in range(0, freedom - 1, 2):
        term = 1.0 if power == 0 else term * cosine**2 * (power - 1) / power
        total += term
    return math.sin(angle) * total


def quantile(freedom: int, share: float = 0.95) -> float:
    """Return the t within which `share` of the distribution lies, on both sides of 0; ValueError without freedom."""
    if freedom < 1:
        raise ValueError("Student's t needs at least one degree of freedom: two values")
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # each halves the bracket: to the last digit of a float
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(middle, freedom) < share else (low, middle)
    return math.tan(low) * math.sqrt(freedom)
