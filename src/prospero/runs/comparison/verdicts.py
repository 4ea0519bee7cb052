"""Which of several settings is better by one number, said so that it can be believed.

Every two settings are compared, and the p values of all pairs are Holm's: whoever looks at the best and the rest has
looked at all pairs, since the data have chosen the best. Two settings that ran the same seeds on the same order of data
are compared seed by seed (paired t), others as they are (Welch). With one run each there is no spread over seeds; then
the items of an evaluation that both have may tell the two runs apart, which is less: see docs/COMPARE.md.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from prospero.runs.comparison import significance
from prospero.runs.comparison.significance import LEVEL, interval_of_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """One number of one setting: a value for each seed."""

    name: str
    values: Sequence[float]
    seeds: Sequence[int | str | None]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % interval around the mean; NaN for one seed."""
        low, high = interval_of_mean(np.asarray(self.values))
        return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSamples:
    """The difference of two runs over the items of one evaluation: A minus B."""

    value: float
    low: float
    high: float
    p: float
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What two settings have come to, the better one first."""

    better: str
    worse: str
    value: float
    """By how much, never negative."""
    low: float
    high: float
    p: float
    """Holm's, over all pairs; NaN where there is no test."""
    test: str
    """paired t, Welch, paired bootstrap, or none."""
    other: str
    """The setting that the best by its mean was compared with."""
    text: str

    @property
    def separable(self) -> bool:
        """Whether the difference is real, at the level of 5 % for all pairs together."""
        return self.p < LEVEL


Samples = Callable[[int, int], OverSamples | None]
"""Places of two settings of one run each -> what their evaluations say; None where they have none in common."""


def judge(
    settings: Sequence[Measurements],
    *,
    higher_is_better: bool,
    same_order: Callable[[int, int], bool] = lambda a, b: True,
    over_samples: Samples = lambda a, b: None,
) -> list[Verdict]:
    """Return the best setting's verdict against each of the others, the next best first.

    `same_order(a, b)` says whether two settings read their data in the same order where their seeds agree.
    """
    sign = 1 if higher_is_better else -1
    order = best_first(settings, higher_is_better)
    pairs = list(itertools.combinations(order, 2))
    tests = [
        _compare(settings[a], settings[b], same_order(a, b), lambda a=a, b=b: over_samples(a, b)) for a, b in pairs
    ]
    adjusted = significance.holm([test.p for test in tests])
    tested = int(np.isfinite(adjusted).sum())
    return [
        _verdict(settings[a], settings[b], tests[place], float(adjusted[place]), sign, LEVEL / max(tested, 1))
        for place, (a, b) in enumerate(pairs)
        if a == order[0]
    ]


def best_first(settings: Sequence[Measurements], higher_is_better: bool) -> list[int]:
    """Return the places of the settings by their means, the best first, NaN last."""
    means = [one.mean if higher_is_better else -one.mean for one in settings]
    return sorted(range(len(settings)), key=lambda place: (math.isnan(means[place]), -means[place]))


@dataclass(slots=True)
class _Test:
    """A minus B."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    items: int = 0


def _compare(a: Measurements, b: Measurements, same_order: bool, samples: Callable[[], OverSamples | None]) -> _Test:
    few = min(len(a.values), len(b.values))
    if few < 2:
        found = samples() if len(a.values) == len(b.values) == 1 else None
        if found is None:
            return _Test("none", a.mean - b.mean)
        return _Test("paired bootstrap", found.value, found.low, found.high, found.p, found.items)
    if same_order and set(a.seeds) == set(b.seeds):
        of_a, of_b = _by_seed(a, b)
        name, found = "paired t", significance.paired(of_a, of_b)
    else:
        name, found = "Welch", significance.welch(np.asarray(a.values), np.asarray(b.values))
    return _Test(name, float(found.value), float(found.low), float(found.high), float(found.p))


def _by_seed(a: Measurements, b: Measurements) -> tuple[np.ndarray, np.ndarray]:
    places = [list(b.seeds).index(seed) for seed in a.seeds]
    return np.asarray(a.values, dtype=np.float64), np.asarray([b.values[place] for place in places], dtype=np.float64)


def _verdict(a: Measurements, b: Measurements, test: _Test, p: float, sign: int, level: float) -> Verdict:
    value, low, high = sign * test.value, sign * test.low, sign * test.high
    low, high = (low, high) if sign > 0 else (high, low)
    better, worse = (a.name, b.name) if value >= 0 or math.isnan(value) else (b.name, a.name)
    if value < 0:  # the samples say the other way round than the whole
        value, low, high = -value, -high, -low
    said = _text(a, b, test, p, level, better, worse, (value, low, high))
    return Verdict(
        better=better, worse=worse, value=value, low=low, high=high, p=p, test=test.name, other=b.name, text=said
    )


def _text(
    a: Measurements,
    b: Measurements,
    test: _Test,
    p: float,
    level: float,
    better: str,
    worse: str,
    numbers: tuple[float, float, float],
) -> str:
    """Say what came of it in one line."""
    one_each = "; one seed each, so this is about these two runs only" if test.name == "paired bootstrap" else ""
    if test.name == "none":
        return f"{better} and {worse}: no verdict over seeds, {_who_lacks(a, b)}; give seed=1,2,3"
    if math.isnan(p):
        return f"{better} and {worse}: no verdict, the values do not spread ({_counted(a, b, test)})"
    if p < LEVEL:
        digits = decimals(numbers[2] - numbers[1])
        value, low, high = (f"{number:.{digits}f}" for number in numbers)
        over = f" over {test.items} samples{one_each}" if one_each else ""
        return f"{better} beats {worse} by {value} (95 % {low} to {high}, {p_text(p)}){over}"
    needed = _needed(a, b, test, level)
    wanted = "more than 1,000" if needed is None else f"about {needed:,}"
    return f"{better} and {worse}: not separable with these {_counted(a, b, test)}; {wanted} would be needed{one_each}"


def _who_lacks(a: Measurements, b: Measurements) -> str:
    lone = [one.name for one in (a, b) if len(one.values) < 2]
    return "both have one seed" if len(lone) == 2 else f"{lone[0]} has one seed"


def _counted(a: Measurements, b: Measurements, test: _Test) -> str:
    if test.items:
        return f"{test.items} samples"
    of_a, of_b = len(a.values), len(b.values)
    return f"{of_a} seeds" if of_a == of_b else f"{of_a} and {of_b} seeds"


def _needed(a: Measurements, b: Measurements, test: _Test, level: float) -> int | None:
    """Return how many seeds, or samples, would find a difference such as this one in 80 % of all cases."""
    if test.items:
        half = (test.high - test.low) / 2
        if not test.value or not half > 0:
            return None
        spread = half / 1.96 * math.sqrt(test.items)
        return max(test.items + 1, math.ceil((2.8 * spread / test.value) ** 2))  # 2.8: 1.96 + 0.84, level and power
    if test.name == "paired t":
        found = significance.seeds_needed_paired(*_by_seed(a, b), level=level)
    else:
        found = significance.seeds_needed_welch(np.asarray(a.values), np.asarray(b.values), level=level)
    return None if found is None else max(found, min(len(a.values), len(b.values)) + 1)


def decimals(width: float) -> int:
    """Return the decimals with which half of an interval's width has two digits."""
    if not width > 0 or not math.isfinite(width):
        return 4
    return min(8, max(0, 1 - math.floor(math.log10(width / 2))))


def p_text(p: float) -> str:
    """Return `p = 0.002`, never rounded over the level."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.4f}" if round(p, 3) == LEVEL else f"p = {p:.3f}"
