"""The curves of a run, for its report and as a picture of their own."""

import io
import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prospero.paths import atomic_path

Series = Mapping[str, list[tuple[int, float]]]
_TRAIN, _VAL, GREY, INK = "#4c78a8", "#e4572e", "#8a8f98", "#24292f"


def loss_alone(series: Series, regularizers: Iterable[str]) -> Series:
    """Return the series with train/loss without the terms of `regularizers`: what val/loss can be compared with."""
    terms = [dict(series.get(f"train/loss/{name}", [])) for name in regularizers]
    train = [(step, value - sum(term.get(step, 0.0) for term in terms)) for step, value in series.get("train/loss", [])]
    return {**series, "train/loss": train}


def draw_loss(series: Series, path: Path, title: str) -> None:
    """Draw training and validation loss over steps into a PNG at `path`."""
    drawn, axes = figure(8.0, 4.5)
    plot_loss(axes, series)
    axes.set_title(title, loc="left", fontsize=11, color=INK, parse_math=False)
    save(drawn, path)


def save(drawn: Any, path: Path) -> None:
    """Write a figure as PNG."""
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")  # a name may be in any script
        drawn.savefig(temporary, format="png", dpi=150)
        temporary.chmod(0o644)


def smooth(values: list[float]) -> list[float]:
    """Return the mean around each value, over a twentieth of the curve to each side at most; it does not lag."""
    reach = max(1, len(values) // 20)
    out = []
    for place in range(len(values)):
        side = min(reach, place, len(values) - 1 - place)
        window = values[place - side : place + side + 1]
        out.append(sum(window) / len(window))
    return out


def canvas(width: float, height: float) -> Any:
    """Return an empty figure without pyplot: no window system, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style(axes: Any) -> None:
    """Give axes the look of all pictures here."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c8ccd1")
    axes.tick_params(colors=GREY, labelsize=9)
    axes.grid(True, color="#eceef0", linewidth=0.8)
    axes.set_axisbelow(True)


def figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and its axes."""
    drawn = canvas(width, height)
    axes = drawn.add_subplot()
    style(axes)
    return drawn, axes


def svg(draw: Any) -> str:
    """Return what `draw(axes)` draws, as SVG."""
    drawn, axes = figure(5.6, 3.3)
    draw(axes)
    return svg_of(drawn)


def svg_of(drawn: Any) -> str:
    """Return a figure as SVG, the same for the same figure."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "prospero"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")  # a name may be in any script
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def plot_loss(axes: Any, series: Series) -> None:
    """Draw training and validation loss over steps."""
    train, val = series.get("train/loss", []), series.get("val/loss", [])
    train = [(step, value) for step, value in train if math.isfinite(value)]
    if train:
        steps, values = zip(*train)
        axes.plot(steps, values, color=_TRAIN, alpha=0.3, linewidth=0.8, label=None if len(train) > 8 else "training")
        if len(train) > 8:
            axes.plot(steps, smooth(list(values)), color=_TRAIN, linewidth=1.8, label="training (smoothed)")
    if val:
        steps, values = zip(*val)
        axes.plot(steps, values, color=_VAL, linewidth=1.8, marker="o", markersize=3.5, label="validation")
        step, best = min(val, key=lambda point: (point[1], -point[0]))  # the last is not what counts
        axes.annotate(f"{best:.3f}", (step, best), xytext=(0, 7), textcoords="offset points",
                      ha="right", color=_VAL, fontsize=9)  # fmt: skip
    axes.set_xlabel("step", color=GREY, fontsize=9)
    axes.set_ylabel("loss (nats per token)", color=GREY, fontsize=9)
    if train or val:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def plot_one(axes: Any, points: list[tuple[int, float]], label: str) -> None:
    """Draw one curve over steps."""
    steps, values = zip(*points)
    axes.plot(steps, values, color=_TRAIN, linewidth=1.6)
    axes.set_xlabel("step", color=GREY, fontsize=9)
    axes.set_ylabel(label, color=GREY, fontsize=9)
