"""Long curves as few points: the least and the largest of every stretch stay, so that no spike is lost."""

from typing import Any

import numpy as np

DIGITS = 7


def thinned(steps: np.ndarray, values: np.ndarray, most: int) -> dict[str, list[Any]]:
    """Return a curve for the page, without values that are not finite.

    {"x": steps, "y": values}; where more than `most` points were there, of each stretch the least and the largest value
    in their order, and with them {"mx", "my"}: the mean step and value of each stretch, which smoothing is made of.
    """
    fine = np.isfinite(values) & np.isfinite(steps)
    steps, values = steps[fine], values[fine]
    if len(steps) <= most:
        return {"x": whole(steps), "y": short(values)}
    stretches = max(1, most // 2)
    edges = np.linspace(0, len(steps), stretches + 1).astype(np.int64)
    starts, counts = edges[:-1], np.diff(edges)
    chosen = np.concatenate(
        [[0, len(steps) - 1], _places_of(values, edges, np.argmin), _places_of(values, edges, np.argmax)]
    )
    chosen = np.unique(chosen.astype(np.int64))
    return {
        "x": whole(steps[chosen]),
        "y": short(values[chosen]),
        "mx": short(np.add.reduceat(steps, starts) / counts),
        "my": short(np.add.reduceat(values, starts) / counts),
    }


def knots(columns: dict[str, np.ndarray], most: int) -> dict[str, list[Any]]:
    """Return step, tokens and seconds at some rows, from which the page finds tokens and seconds of any step."""
    steps = columns["step"]
    found: dict[str, list[Any]] = {}
    for name, column in (("tokens", "tokens"), ("seconds", "train/seconds")):
        values = columns.get(column)
        if values is None:
            continue
        fine = np.flatnonzero(np.isfinite(values))
        if len(fine) > most:
            fine = fine[np.unique(np.linspace(0, len(fine) - 1, most).astype(np.int64))]
        if len(fine):
            found[name] = [whole(steps[fine]), short(values[fine])]
    return found


def whole(values: np.ndarray) -> list[int]:
    """Return steps as plain numbers."""
    return values.astype(np.int64).tolist()


def short(values: np.ndarray) -> list[float]:
    """Return numbers of as many digits as a screen shows."""
    with np.errstate(divide="ignore"):
        size = np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
    scale = 10.0 ** np.clip(DIGITS - 1 - size, -300, 300)
    rounded = np.rint(values * scale) / scale
    return np.where(np.isfinite(rounded), rounded, values).tolist()


def _places_of(values: np.ndarray, edges: np.ndarray, choose: Any) -> np.ndarray:
    """Where the chosen value of each stretch stands; stretches are of two lengths at most, each a table of its own."""
    counts, places = np.diff(edges), np.empty(len(edges) - 1, dtype=np.int64)
    for length in np.unique(counts):
        which = np.flatnonzero(counts == length)
        rows = edges[which][:, None] + np.arange(length)
        places[which] = edges[which] + choose(values[rows], axis=1)
    return places
