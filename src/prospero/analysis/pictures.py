"""What the pictures of analyses are made of: cells of layers and heads as a map, curves over layers.

Shapes: L layers, N heads, Q side of a pattern.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prospero.runs.figures import GREY, INK, style

GAP = 1
"""Empty cells between two patterns."""


def heat_map(
    figure: Any, axes: Any, values: np.ndarray, title: str, *, low: float | None = None, high: float | None = None
) -> None:
    """Draw values [L, N], block 0 at the bottom; below 0 where `low` is negative in another colour than above."""
    diverging = low is not None and low < 0
    image = axes.imshow(
        values, cmap="RdBu_r" if diverging else "viridis", aspect="auto", origin="lower", vmin=low, vmax=high
    )
    layers, heads = values.shape
    axes.set_xticks(_ticks(heads), [str(n) for n in _ticks(heads)])
    axes.set_yticks(_ticks(layers), [str(n) for n in _ticks(layers)])
    _named(axes, title, "head", "block")
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.tick_params(colors=GREY, labelsize=8)
    bar.outline.set_visible(False)


def place_map(
    figure: Any, axes: Any, values: np.ndarray, layers: Sequence[str], tokens: Sequence[str], title: str
) -> None:
    """Draw shares [L, P] of layers x places, the first block at the bottom, the token of each place below it."""
    most = max(1.0, float(np.nanmax(np.abs(values))))
    image = axes.imshow(values, cmap="RdBu_r", aspect="auto", origin="lower", vmin=-most, vmax=most)
    shown = _ticks(len(tokens), most=24)
    axes.set_xticks(shown, [tokens[place].strip(" ") or repr(tokens[place]) for place in shown], rotation=60)
    rows = _ticks(len(layers))
    axes.set_yticks(rows, [layers[row] for row in rows])
    _named(axes, title, "token", "block")
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.tick_params(colors=GREY, labelsize=8)
    bar.outline.set_visible(False)


def mosaic(axes: Any, patterns: np.ndarray, title: str) -> None:
    """Draw patterns [L, N, Q, Q], block 0 at the bottom, queries downwards in each."""
    layers, heads, side, _ = patterns.shape
    step = side + GAP
    whole = np.full((layers * step - GAP, heads * step - GAP), np.nan)
    for layer in range(layers):
        for head in range(heads):
            top = (layers - 1 - layer) * step
            whole[top : top + side, head * step : head * step + side] = patterns[layer, head]
    axes.imshow(whole, cmap="magma_r", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    middles = [place * step + side / 2 - 0.5 for place in range(max(layers, heads))]
    axes.set_xticks([middles[n] for n in _ticks(heads)], [str(n) for n in _ticks(heads)])
    axes.set_yticks([middles[layers - 1 - n] for n in _ticks(layers)], [str(n) for n in _ticks(layers)])
    axes.grid(False)
    _named(axes, title, "head", "block")


def curves(axes: Any, labels: Sequence[str], series: Mapping[str, Sequence[float]], title: str, unit: str) -> None:
    """Draw some numbers over the places named by `labels`."""
    style(axes)
    places = range(len(labels))
    for name, values in series.items():
        axes.plot(places, values, marker="o", markersize=3.5, linewidth=1.6, label=name)
    shown = _ticks(len(labels))
    axes.set_xticks(shown, [labels[place] for place in shown])
    _named(axes, title, "", unit)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _named(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK, parse_math=False)
    axes.set_xlabel(x, color=GREY, fontsize=9)
    axes.set_ylabel(y, color=GREY, fontsize=9)
    axes.tick_params(colors=GREY, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _ticks(count: int, most: int = 13) -> list[int]:
    """Return at most `most` of the places 0 .. count - 1, evenly."""
    step = -(-count // most)
    return list(range(0, count, step))
