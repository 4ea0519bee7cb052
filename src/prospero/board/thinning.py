"""Long curves as few points: the least and the largest of every stretch stay, so that no spike is lost."""

from typing import Any

import numpy as np

DIGITS = 7


def thinned(steps: np.ndarray, values: np.ndarray, most: int) -> dict[str, list[Any]]:
    """Return a curve for the page, without values that are not finite.

    {"x": steps, "y": values}; where more than `most` points were there, of each stretch the least and the largest value
    in their order, and with them {"mx", "my", "mn"}: mean step, mean value and rows of each stretch, for smoothing.
    """
    fine = np.isfinite(values) & np.isfinite(steps)
    steps, values = steps[fine], values[fine]
    if len(steps) <= most:
        return {"x": whole(steps), "y": short(values)}
    starts, counts = stretches(len(steps), most // 2)
    ends = np.array([0, len(steps) - 1])
    places = [first_places(values, choose.reduceat(values, starts), counts) for choose in (np.minimum, np.maximum)]
    chosen = np.unique(np.concatenate([ends, *places]))
    return {
        "x": whole(steps[chosen]),
        "y": short(values[chosen]),
        "mx": short(np.add.reduceat(steps, starts) / counts),
        "my": short(np.add.reduceat(values, starts) / counts),
        "mn": counts.tolist(),
    }


def stretches(rows: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the stretches of `rows` rows begin, and their lengths.

    Half of their ends stand evenly and half by their logarithm: a curve begins steeply, and may be drawn on a
    logarithmic axis.
    """
    half = max(1, most // 2)
    edges = np.concatenate([np.linspace(0, rows, half + 1), np.geomspace(1, rows, half + 1)])
    edges = np.unique(np.rint(edges).astype(np.int64))
    return edges[:-1], np.diff(edges)


def first_places(values: np.ndarray, wanted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the first place in each stretch that holds the value wanted of it."""
    there = np.flatnonzero(values == np.repeat(wanted, counts))
    stretch = np.repeat(np.arange(len(counts)), counts)[there]
    return there[np.flatnonzero(np.diff(stretch, prepend=-1))]


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
