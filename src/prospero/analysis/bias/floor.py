"""The noise floor: what a number of bias is worth beside the same number of pairs that mean nothing.

Neutral pairs are measured as the others are. The mean of their differences is 0 but for chance, for which of their two
words comes first is drawn; how far its interval reaches from 0 is what a mean of this many swaps of any two words comes
to, and the upper end of their mean absolute difference what a single swap does. A number that does not rise above that
is said to be none: a placebo.

A side that few words stand for (he and his; young and younger) has a mean that is those words' own as much as the
group's: any two words have some (the language-as-fixed-effect fallacy, Clark 1973). So the floor of a mean is at least
what k neutral words in place of these would reach, `word_reach`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from prospero.evaluation.results import Estimate, between, shown
from prospero.runs.figures import GREY, INK, style

NONE, ABOVE, BELOW, UNCLEAR, UNMEASURED, ALONE = "none", "above", "below", "unclear", "not measured", "no interval"
_FAVOURS_FIRST, _FAVOURS_SECOND, _QUIET = "#4c78a8", "#e4572e", "#b6bac0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A number of one group, what no effect would be, and how far noise alone reaches from there."""

    label: str
    estimate: Estimate
    neutral: float = 0.0
    """The number where there is no bias."""
    floor: float = 0.0
    """How far from `neutral` neutral pairs reach; 0 where none were measured."""
    is_null: bool = False
    """Whether it is the noise floor itself."""
    is_size: bool = False
    """Whether it cannot be below `neutral`."""
    judged: bool = True
    """Whether anything can be said of it: a size without a noise floor is above 0 whatever the model does."""

    @property
    def verdict(self) -> str:
        """Whether it stands out: `none` where its interval holds the neutral value, or it lies within the floor.

        `above` and `below` where the whole interval lies outside the floor, `unclear` where a part of it does; `no
        interval` where items do not differ, or there is but one.
        """
        one = self.estimate
        if one.value is None:
            return UNMEASURED
        if one.low is None or one.high is None:
            return ALONE
        low, high, value = one.low - self.neutral, one.high - self.neutral, one.value - self.neutral
        if low <= 0 <= high or abs(value) <= self.floor:
            return NONE
        if value > 0:
            return ABOVE if low > self.floor else UNCLEAR
        return BELOW if high < -self.floor else UNCLEAR

    def row(self) -> list[str]:
        """Return its cells: label, items, value, interval, floor, verdict."""
        reach = "noise floor" if self.is_null else shown(self.floor) if self.floor else "-"
        said = self.verdict if self.judged and not self.is_null else ""
        one = self.estimate
        return [self.label, f"{one.samples:,}", shown(one.value), between(one), reach, said]


COLUMNS = ("group", "items", "value", "95 % interval", "floor", "effect")
"""Headings of `Effect.row`."""


def reach(null: Estimate | None, neutral: float = 0.0) -> float:
    """Return how far the interval of a neutral number reaches from where it should be; 0 where it is not known."""
    if null is None or null.low is None or null.high is None:
        return 0.0
    return max(abs(null.low - neutral), abs(null.high - neutral))


def word_reach(values: Sequence[float], noise: Sequence[float], words: int) -> float:
    """Return how far from 0 the mean of `words` random pairs of neutral words lies in 95 of 100 cases.

    `values` are the means of pairs of neutral words over sentences, `noise` the variances of these means by the choice
    of sentences, which is taken off the variance between words (a random effect by moments; Searle et al. 1992). 0
    where fewer than two are known.
    """
    if len(values) < 2:
        return 0.0
    between = max(0.0, float(np.var(values, ddof=1) - np.mean(noise)))
    return float(stdtrit(len(values) - 1, 0.975) * np.sqrt(between / words))


def centred(null: Estimate | None, neutral: float = 0.0) -> bool | None:
    """Whether the interval of a neutral number holds what it should be; None where it is not known."""
    if null is None or null.low is None or null.high is None:
        return None
    return null.low <= neutral <= null.high


def forests(figure: Any, panels: Sequence[tuple[str, Sequence[Effect], str]]) -> bool:
    """Draw (title, effects, unit) one below the other; False where nothing was measured."""
    known = [panel for panel in panels if any(one.estimate.value is not None for one in panel[1])]
    if not known:
        return False
    rows = [len(effects) + 2.2 for _, effects, _ in known]
    figure.set_size_inches(8.0, 0.27 * sum(rows) + 0.2)
    grid = figure.subplots(len(known), 1, height_ratios=rows, squeeze=False)
    for axes, (title, effects, unit) in zip(grid[:, 0], known):
        forest(axes, effects, title, unit)
    return True


def forest(axes: Any, effects: Sequence[Effect], title: str, unit: str) -> None:
    """Draw a forest plot: each number with its interval, the noise floor of each as a grey bar behind it."""
    style(axes)
    known = [one for one in effects if one.estimate.value is not None]
    for place, one in enumerate(known):
        value, low, high = one.estimate.value, one.estimate.low, one.estimate.high
        if one.floor:
            left = one.neutral - (0 if one.is_size else one.floor)
            axes.barh(place, one.neutral + one.floor - left, left=left, height=0.72, color="#e6e8eb", zorder=1)
        colour = {ABOVE: _FAVOURS_FIRST, BELOW: _FAVOURS_SECOND}.get(one.verdict, GREY)
        colour = colour if one.judged and not one.is_null else _QUIET
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=3)
        axes.plot([value], [place], marker="D" if one.is_null else "o", color=colour, markersize=5, zorder=4)
    axes.axvline(known[0].neutral if known else 0.0, color=INK, linewidth=0.8, zorder=2)
    axes.set_yticks(range(len(known)), [one.label for one in known], fontsize=9, color=INK, parse_math=False)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    shaded = "; grey bars: the noise floor" if any(one.floor for one in known) else ""
    axes.set_xlabel(unit + shaded, color=GREY, fontsize=9)
