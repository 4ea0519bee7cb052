"""The curves of several settings on one picture: against tokens, against floating-point operations, against seconds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospero.paths import atomic_path
from prospero.runs.comparison.runs import FinishedRun, Group
from prospero.runs.comparison.verdicts import Measurements
from prospero.runs.figures import GREY, INK, canvas, smooth, style, svg_of
from prospero.runs.metrics import metric_series

COLOURS = ("#4c78a8", "#e4572e", "#54a24b", "#b279a2", "#f2a900", "#2a9d8f", "#9c755f", "#d67195", "#79706e", "#1b3a5c")
MOST_POINTS_OF_A_MARKED_CURVE = 40
BY_POSITION = "val/loss_by_position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One run's numbers against what they have cost."""

    values: list[float]
    tokens: list[float]
    flops: list[float] | None
    """None where the run has not written how many operations a token takes."""
    seconds: list[float] | None
    """Of training, without validations; None where the run has not measured its speed."""

    def against(self, what: str) -> list[float] | None:
        """Return the places on the axis `what`: tokens, flops or seconds."""
        return {"tokens": self.tokens, "flops": self.flops, "seconds": self.seconds}[what]


AXES = (("tokens", "tokens"), ("flops", "floating-point operations"), ("seconds", "seconds of training"))


def curve_of(run: FinishedRun, metric: str) -> Curve | None:
    """Return a run's curve of `metric`; None when it has no point of it."""
    series = metric_series(run.folder.metrics)
    points = [(step, value) for step, value in series.get(metric, []) if math.isfinite(value)]
    tokens_at, seconds_at = dict(series.get("tokens", [])), series.get("train/seconds", [])
    points = [(step, value) for step, value in points if step in tokens_at]
    if not points:
        return None
    values = [value for _, value in points]
    tokens = [tokens_at[step] for step, _ in points]
    per_token = run.result.get("flops_per_token")
    seconds = None
    if seconds_at:
        steps, clock = zip(*seconds_at)
        seconds = [float(second) for second in np.interp([step for step, _ in points], (0, *steps), (0.0, *clock))]
    return Curve(
        values=smooth(values) if metric.startswith("train/") else values,
        tokens=tokens,
        flops=[count * per_token for count in tokens] if per_token else None,
        seconds=seconds,
    )


def drawn_metric(groups: Sequence[Group], metric: str) -> str:
    """Return the number whose curves are drawn: `metric` of validation where it was measured on the way."""
    runs = [run for group in groups for run in group.runs]
    metric = "val/" + metric.partition("/")[2]
    series = [metric_series(run.folder.metrics).get(metric, []) for run in runs]
    return metric if max(map(len, series)) > 1 else "train/loss"


def draw_curves(figure: Any, groups: Sequence[Group], metric: str) -> list[str]:
    """Draw the three panels into a figure; return a line for each thing that could not be drawn."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    curves = [[curve for run in group.runs if (curve := curve_of(run, metric)) is not None] for group in groups]
    panels = figure.subplots(1, 3, sharey=True)
    missing = []
    for panel, (what, label) in zip(panels, AXES):
        style(panel)
        lacking = 0
        for place, of_group in enumerate(curves):
            lacking += sum(curve.against(what) is None for curve in of_group)
            _draw_group(panel, of_group, what, COLOURS[place % len(COLOURS)])
        panel.set_xlabel(label, color=GREY, fontsize=9)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_major_locator(MaxNLocator(6))
        if lacking == sum(map(len, curves)):
            panel.text(0.5, 0.5, "not written by these runs", transform=panel.transAxes, ha="center", color=GREY)
        if lacking:
            missing.append(
                f"{lacking} runs have no curve against {label}: they were trained without callbacks=throughput"
            )
    panels[0].set_ylabel(metric, color=GREY, fontsize=9)
    _legend(figure, panels[0], [group.name for group in groups])
    return missing


def _draw_group(panel: Any, curves: Sequence[Curve], what: str, colour: str) -> None:
    """Draw each run thinly, and the mean of runs that were measured at the same tokens."""
    drawn = [(places, curve.values) for curve in curves if (places := curve.against(what)) is not None]
    alike = len(drawn) > 1 and len({tuple(curve.tokens) for curve in curves}) == 1
    marker = "o" if drawn and max(len(values) for _, values in drawn) <= MOST_POINTS_OF_A_MARKED_CURVE else None
    for places, values in drawn:
        panel.plot(
            places, values, color=colour, linewidth=0.8 if alike else 1.4, alpha=0.35 if alike else 0.9,
            marker=None if alike else marker, markersize=3,
        )  # fmt: skip
    if alike:
        places, values = (np.mean([one[part] for one in drawn], axis=0) for part in (0, 1))
        panel.plot(places, values, color=colour, linewidth=1.8, marker=marker, markersize=3)


def draw_by_position(figure: Any, groups: Sequence[Group]) -> bool:
    """Draw the loss by the place in the context, mean and interval over seeds; False where no run has measured it."""
    names = [name for name in groups[0].runs[0].values if name.startswith(f"{BY_POSITION}/")]
    names = [name for name in names if all(name in run.values for group in groups for run in group.runs)]
    if len(names) < 2:
        return False
    panel = figure.subplots()
    style(panel)
    for place, group in enumerate(groups):
        standing = [Measurements(name=group.name, values=group.values(name), seeds=group.seeds) for name in names]
        means = np.array([one.mean for one in standing])
        reach = np.nan_to_num([one.interval[1] - one.mean for one in standing])
        shift = 0.04 * (place - (len(groups) - 1) / 2)
        panel.errorbar(
            np.arange(len(names)) + shift, means, yerr=reach, color=COLOURS[place % len(COLOURS)], marker="o",
            markersize=4, linewidth=1.6, elinewidth=1.0, capsize=2,
        )  # fmt: skip
    panel.set_xticks(range(len(names)), [name.rpartition("/")[2] for name in names])
    panel.set_xlabel("place in the sequence, from 0", color=GREY, fontsize=9)
    panel.set_ylabel("loss (nats per token)", color=GREY, fontsize=9)
    _legend(figure, panel, [group.name for group in groups])
    return True


def _legend(figure: Any, panel: Any, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=COLOURS[place % len(COLOURS)], linewidth=2) for place in range(len(names))]
    shown = [name if len(name) <= 60 else name[:57] + "..." for name in names]
    legend = figure.legend(
        handles, shown, loc="outside upper left", ncols=min(3, len(names)), frameon=False, fontsize=9, labelcolor=INK
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def svg_drawing(width: float, height: float, draw: Callable[[Any], Any]) -> str:
    """Return what `draw(figure)` draws as SVG; nothing where it returns False."""
    figure = canvas(width, height)
    return "" if draw(figure) is False else svg_of(figure)


def write_picture(path: Path, groups: Sequence[Group], metric: str) -> list[str]:
    """Write the three panels as a PNG; return a line for each thing that could not be drawn."""
    figure = canvas(12.0, 4.0)
    missing = draw_curves(figure, groups, metric)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
        temporary.chmod(0o644)
    return missing
