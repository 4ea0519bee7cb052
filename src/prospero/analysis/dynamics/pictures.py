"""The pictures of a study: curves over steps, or over layers where there is one checkpoint; maps of similarity."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from prospero.analysis.dynamics.alike import LAYERS, RUNS, STEPS, Alike
from prospero.analysis.dynamics.study import ACTIVATION, OV, QK, Row, RunStudy
from prospero.analysis.dynamics.weights import place_of
from prospero.analysis.dynamics.words import Trajectory, earliest, forgotten, latest
from prospero.printable import printable
from prospero.runs.figures import GREY, INK, canvas, style

Line = tuple[str, list[float], list[float]]
"""What it is called, its places, its values."""
MOST_NAMED = 12
"""Lines that a legend names; more are coloured from the first to the last."""
MOST_MAPS = 6
PANELS: list[tuple[str, Callable[[Row], float | None], bool]] = [
    ("Frobenius norm", lambda row: row.numbers.frobenius_norm, True),
    ("effective rank, share of the most", lambda row: row.numbers.effective_rank / row.most_rank, False),
    ("condition number", lambda row: row.numbers.condition_number, True),
    ("Gini index of the entries", lambda row: row.numbers.gini, False),
    ("Hoyer sparsity of the entries", lambda row: row.numbers.hoyer, False),
    ("update / norm, since the checkpoint before", lambda row: row.update_to_weight, True),
]
"""Title, what is drawn of a row, whether its axis is logarithmic."""
GRADIENT_PANEL = ("norm of the gradient / norm of the weight", lambda row: row.gradient_to_weight, True)


def draw_rows(study: RunStudy, of: Sequence[str]) -> Any | None:
    """Return six curves of the rows `of` a kind, a line for each kind of matrix (its mean over layers); None without.

    With one checkpoint the lines run over the layers.
    """
    rows = [row for row in study.rows if row.of in of]
    if not rows:
        return None
    figure = canvas(12.0, 6.4)
    panels = [*PANELS[:-1], GRADIENT_PANEL] if rows[0].gradient_to_weight is not None else PANELS
    over_steps = len(study.steps) > 1
    for number, (title, value, log) in enumerate(panels):
        axes = figure.add_subplot(2, 3, number + 1)
        style(axes)
        lines = _by_step(rows, value) if over_steps else _by_layer(rows, value)
        _plot(axes, lines, log=log, markers=True)
        _name(axes, title, "step" if over_steps else "layer")
        if number == 0:
            _legend(figure, lines)
        if not lines:
            axes.text(0.5, 0.5, "needs two checkpoints", ha="center", color=GREY, transform=axes.transAxes, fontsize=9)
    return figure


def _by_step(rows: Sequence[Row], value: Callable[[Row], float | None]) -> list[Line]:
    return _lines((_called(row), row.step, value(row)) for row in rows)


def _by_layer(rows: Sequence[Row], value: Callable[[Row], float | None]) -> list[Line]:
    return _lines((row.kind, -1 if row.layer is None else row.layer, value(row)) for row in rows)


def _called(row: Row) -> str:
    return row.name if row.of == ACTIVATION else row.kind


def _lines(points: Iterable[tuple[str, float, float | None]]) -> list[Line]:
    """Return a line for each name, at each place the mean of its finite values."""
    found: dict[str, dict[float, list[float]]] = {}
    for name, place, value in points:
        if value is not None and math.isfinite(value):
            found.setdefault(name, {}).setdefault(place, []).append(value)
    return [
        (name, sorted(places), [float(np.mean(places[place])) for place in sorted(places)])
        for name, places in found.items()
    ]


def _plot(axes: Any, lines: Sequence[Line], *, log: bool = False, markers: bool = False) -> None:
    for (name, places, values), colour in zip(lines, _colours(len(lines))):
        axes.plot(places, values, color=colour, linewidth=1.4, label=name, marker="o" if markers else None,
                  markersize=2.6)  # fmt: skip
    axes.xaxis.get_major_locator().set_params(integer=True)
    drawn = [value for _, _, values in lines for value in values]
    if log and drawn and min(drawn) > 0:
        axes.set_yscale("log")
        axes.tick_params(which="both", colors=GREY, labelsize=8)


def _colours(n: int) -> list[Any]:
    import matplotlib as mpl

    table = mpl.colormaps["tab10" if n <= 10 else "viridis"]
    return [table(i) if n <= 10 else table(i / (n - 1)) for i in range(n)]


def _legend(figure: Any, lines: Sequence[Line]) -> None:
    """Name the lines of the first axes below the figure; of very many the first and the last."""
    drawn = figure.axes[-1].lines
    shown = range(len(lines)) if len(lines) <= MOST_NAMED else (0, len(lines) - 1)
    if lines:
        names = [lines[i][0] for i in shown]
        found = figure.legend([drawn[i] for i in shown], names, loc="outside lower center", ncols=min(9, len(names)),
                              frameon=False, fontsize=8, labelcolor=INK)  # fmt: skip
        for text in found.get_texts():
            text.set_parse_math(False)


def _name(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=INK, parse_math=False)
    axes.set_xlabel(below, color=GREY, fontsize=8)


def draw_heads(study: RunStudy) -> Any | None:
    """Return maps of layers and heads at the last checkpoint, effective rank of OV and QK; None without heads."""
    rows = [row for row in study.rows if row.of in (OV, QK) and row.step == study.steps[-1]]
    if not rows:
        return None
    figure = canvas(10.0, 3.6)
    for number, of in enumerate((OV, QK)):
        some = [row for row in rows if row.of == of]
        layers, heads = (1 + max(row.layer or 0 for row in some), 1 + max(row.head or 0 for row in some))
        values = np.full((layers, heads), np.nan)
        for row in some:
            values[row.layer or 0, row.head or 0] = row.numbers.effective_rank
        axes = figure.add_subplot(1, 2, number + 1)
        _map(figure, axes, values, list(map(str, range(heads))), list(map(str, range(layers))), low=None)
        _name(axes, f"effective rank of {of}, of at most {some[0].most_rank}", "head")
        axes.set_ylabel("layer", color=GREY, fontsize=8)
    return figure


def draw_similarity(study: RunStudy, found: Sequence[Alike]) -> Any | None:
    """Return curves of likeness to the last checkpoint, and maps of layers and of steps; None where nothing is."""
    own = [one for one in found if study.label in (one.a.run, one.b.run)]
    layers = [one for one in own if one.over == LAYERS]
    if not layers:
        return None
    steps = [one for one in own if one.over == STEPS]
    figure = canvas(12.0, 7.2 if steps else 3.8)
    rows = 2 if steps else 1
    for number, (name, value) in enumerate(_MEASURES):
        axes = figure.add_subplot(rows, 3, number + 1)
        _point_map(figure, axes, layers, study.points, study.points, value)
        _name(axes, f"{name} of the points, step {study.steps[-1]}", "")
    for number, (name, value) in enumerate(_MEASURES[1:]) if steps else ():
        axes = figure.add_subplot(rows, 3, 4 + number)
        style(axes)
        to_last = [one for one in steps if one.b.step == study.steps[-1]]
        lines = _lines((one.a.point, one.a.step, value(one)) for one in to_last)
        _plot(axes, lines, markers=True)
        axes.set_ylim(0, 1.03)
        _name(axes, f"{name} with the last checkpoint", "step")
        if number == 0:
            _legend(figure, lines)
    if steps:
        axes = figure.add_subplot(rows, 3, 6)
        _step_map(figure, axes, [one for one in steps if one.a.point == study.points[-1]], study.steps)
        _name(axes, f"unbiased CKA of {study.points[-1]}, checkpoint by checkpoint", "step")
    return figure


_MEASURES: list[tuple[str, Callable[[Alike], float | None]]] = [
    ("CKA", lambda one: one.cka),
    ("unbiased CKA", lambda one: one.unbiased_cka),
    ("PWCCA", lambda one: one.pwcca),
]


def draw_runs(studies: Sequence[RunStudy], found: Sequence[Alike]) -> Any | None:
    """Return the loss of all runs, and a map of points for each two of them; None where there is one run."""
    if len(studies) < 2:
        return None
    pairs: dict[tuple[str, str], list[Alike]] = {}
    for one in (one for one in found if one.over == RUNS):
        pairs.setdefault((one.a.run, one.b.run), []).append(one)
    shown = list(pairs.items())[: MOST_MAPS - 1]
    columns = min(3, 1 + len(shown))
    figure = canvas(4.0 * columns, 3.6 * math.ceil((1 + len(shown)) / columns))
    place = (math.ceil((1 + len(shown)) / columns), columns)
    axes = figure.add_subplot(*place, 1)
    style(axes)
    lines = [(study.label, [float(s) for s in study.steps], study.losses) for study in studies if study.losses]
    _plot(axes, lines, markers=True)
    _name(axes, "loss, nats per token", "step")
    _legend(figure, lines)
    by_label = {study.label: study for study in studies}
    for number, ((a, b), some) in enumerate(shown):
        axes = figure.add_subplot(*place, number + 2)
        _point_map(figure, axes, some, by_label[b].points, by_label[a].points, lambda one: one.unbiased_cka)
        _name(axes, "unbiased CKA", b)
        axes.set_ylabel(a, color=GREY, fontsize=8)
    return figure


def _point_map(
    figure: Any, axes: Any, found: Sequence[Alike], across: Sequence[str], down: Sequence[str], value: Any
) -> None:
    same = found[0].a.run == found[0].b.run
    values = np.full((len(down), len(across)), np.nan)
    for one in found:
        values[down.index(one.a.point), across.index(one.b.point)] = math.nan if value(one) is None else value(one)
    if same:
        np.fill_diagonal(values, 1.0)
    _map(figure, axes, values, [_short(name) for name in across], [_short(name) for name in down])


def _step_map(figure: Any, axes: Any, found: Sequence[Alike], steps: Sequence[int]) -> None:
    values = np.eye(len(steps))
    places = {step: place for place, step in enumerate(steps)}
    for one in found:
        i, j = places[one.a.step], places[one.b.step]
        values[i, j] = values[j, i] = one.unbiased_cka
    _map(figure, axes, values, list(map(str, steps)), list(map(str, steps)))


def _map(
    figure: Any, axes: Any, values: np.ndarray, across: Sequence[str], down: Sequence[str], low: float | None = 0.0
) -> None:
    bounds = {} if low is None else {"vmin": low, "vmax": 1.0}
    drawn = axes.imshow(values, cmap="viridis", aspect="auto", interpolation="nearest", **bounds)
    every = max(1, len(across) // 12), max(1, len(down) // 12)
    axes.set_xticks(range(0, len(across), every[0]), across[:: every[0]], rotation=90, fontsize=7, color=GREY)
    axes.set_yticks(range(0, len(down), every[1]), down[:: every[1]], fontsize=7, color=GREY)
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axes, shrink=0.85).ax.tick_params(labelsize=7, colors=GREY)


def _short(point: str) -> str:
    layer, kind = place_of(point)
    return kind if layer is None else f"{layer} {kind}"


def draw_words(study: RunStudy, words: Sequence[Trajectory]) -> Any | None:
    """Return the curves of the words learned first, of those learned last, and of those forgotten; None without text.

    There must be two checkpoints.
    """
    if not study.losses or len(study.steps) < 2:
        return None
    figure = canvas(12.0, 3.8)
    chosen = [
        ("learned first", earliest(words, 6)),
        ("learned last", latest(words, 6)),
        ("forgotten", forgotten(words, 6)),
    ]
    steps = [float(step) for step in study.steps]
    for number, (title, some) in enumerate(chosen):
        axes = figure.add_subplot(1, 3, number + 1)
        style(axes)
        _plot(axes, [(printable(one.name)[:24], steps, list(one.losses)) for one in some], markers=True)
        axes.plot(steps, study.losses, color=INK, linewidth=2.2, label="all tokens")
        axes.axhline(math.log(study.vocab_size), color=GREY, linewidth=0.9, linestyle=":")
        for text in axes.legend(frameon=False, fontsize=7, labelcolor=INK).get_texts():
            text.set_parse_math(False)
        _name(axes, title if some else f"{title}: none", "step")
    figure.axes[0].set_ylabel("nats per token (dotted: chance)", color=GREY, fontsize=8)
    return figure
