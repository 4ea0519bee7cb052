"""Histograms and bars, drawn alike in all analyses that show how values are spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COLOURS = ("#e45756", "#4c78a8")


BINS = 24


def histograms(axes: Any, values: Mapping[str, Sequence[float]], *, x: str, y: str, shares: bool = False) -> None:
    """Draw a histogram of each kind of values over the same bins; `x` and `y` name the axes; shares lie in 0 to 1."""
    every = [value for kind in values.values() for value in kind]
    edges = np.histogram_bin_edges(every, bins=BINS, range=(0, 1) if shares else None)
    for (label, kind), colour in zip(values.items(), COLOURS):
        axes.hist(list(kind), bins=edges, label=label, color=colour, alpha=0.6)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if len(values) > 1:
        axes.legend()


def bars(axes: Any, counts: Mapping[str, float], *, x: str) -> None:
    """Draw a bar for each name, the first on top; `x` names what is counted."""
    names = list(counts)
    axes.barh(names[::-1], [counts[name] for name in names[::-1]], color=COLOURS[1])
    axes.set_xlabel(x)
