"""The pictures of the concepts, drawn from docs/runs when the site is built: SVG in the colours of the page."""

import io
import json
import math
import re
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

RUNS = Path(__file__).parent.parent / "runs"
INK, SOFT, LINE = "#1d2433", "#66728a", "#b8c4d6"
SERIES = ("#2f6fd0", "#d9722e", "#2b8a57", "#9a4fc4", "#b58a00", "#c23b5e")
VARIABLES = {
    INK: "ink", SOFT: "ink-soft", LINE: "line", SERIES[0]: "blue", SERIES[1]: "warm", SERIES[2]: "good",
    SERIES[3]: "violet", SERIES[4]: "gold", SERIES[5]: "red",
}  # fmt: skip
"""Colour of a drawing -> the variable of the page's style sheet that it follows."""


@cache
def recorded() -> dict[str, Any]:
    """Return what `record.py` has written down."""
    return json.loads((RUNS / "concepts.json").read_text(encoding="utf-8"))


def drawn(name: str) -> str:
    """Return a picture as HTML; KeyError where there is none of that name."""
    return DRAWN[name]()


def _axes(columns: int = 1, height: float = 3.0) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(LINE)
        ax.tick_params(colors=SOFT, labelsize=9)
        ax.grid(color=LINE, linewidth=0.6, alpha=0.5)
        ax.set_axisbelow(True)
        ax.xaxis.label.set_color(SOFT)
        ax.yaxis.label.set_color(SOFT)
        ax.title.set_color(INK)
        ax.title.set_fontsize(10.5)
    return figure, list(axes)


def _svg(figure: Any, alt: str) -> str:
    """Return a figure as SVG whose text is text and whose colours are those of the page."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt, "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px[^;\"]*", r"font-size: \1px", text)
    names = re.sub(r"\W+", "_", alt)[:24]  # ids are those of one page: two pictures must not share them
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{names}_", text)
    return f'<figure class="drawn" role="img" aria-label="{escape(alt)}">\n{text}\n</figure>'


def _legend(ax: Any, **options: Any) -> None:
    legend = ax.legend(frameon=False, fontsize=9, **options)
    for text in legend.get_texts():
        text.set_color(INK)


def learning() -> str:
    """The curves of one run: the loss, the learning rate, the norm of the gradient."""
    run = recorded()["run"]
    figure, (loss, rate) = _axes(2)
    for name, label, colour in (("train/loss", "training", SERIES[0]), ("val/loss", "validation", SERIES[1])):
        tokens, values = zip(*run[name])
        loss.plot([t / 1e6 for t in tokens], values, color=colour, label=label, linewidth=1.8,
                  marker="o" if name.startswith("val") else None, markersize=4)  # fmt: skip
    loss.set(xlabel="million tokens", ylabel="nats per token", title="loss")
    _legend(loss)
    tokens, values = zip(*run["train/lr"])
    rate.plot([t / 1e6 for t in tokens], values, color=SERIES[2], linewidth=1.8)
    rate.set(xlabel="million tokens", title="learning rate (schedule=trapezoid)")
    return _svg(figure, "Loss and learning rate of the run of python train.py")


def schedules() -> str:
    """Every schedule's rate as a share of its peak."""
    figure, (ax,) = _axes(height=3.2)
    for (name, values), colour in zip(recorded()["schedules"].items(), SERIES):
        steps = [100 * step / len(values) for step in range(len(values))]
        ax.plot(steps, values, color=colour, label=name, linewidth=1.8)
    ax.set(xlabel="% of the run", ylabel="share of the peak rate")
    _legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure, "The learning rate over a run under each schedule")


def sampling() -> str:
    """The probabilities of the likeliest next tokens at three temperatures."""
    found = recorded()["next_tokens"]
    figure, (ax,) = _axes()
    width = 0.8 / len(found["probabilities"])
    for place, ((temperature, values), colour) in enumerate(zip(found["probabilities"].items(), SERIES)):
        ax.bar([i + (place - 1) * width for i in range(len(values))], values, width, color=colour,
               label=f"sampling.temperature={temperature}")  # fmt: skip
    shown = [repr(token)[1:-1].replace(" ", "␣") for token in found["tokens"]]
    ax.set_xticks(range(len(shown)), shown, family="monospace")
    ax.set(ylabel="probability", title=f"the token after  {found['prompt']}")
    ax.grid(axis="x", visible=False)
    _legend(ax)
    return _svg(figure, "Probabilities of the next token at three temperatures")


def sweep() -> str:
    """Three seeds of two models: the curves of validation, and the means at the end with their 95 % intervals."""
    jobs = recorded()["sweep"]
    figure, (curve, end) = _axes(2)
    for place, (model, colour) in enumerate(zip(dict.fromkeys(job["model"] for job in jobs), SERIES)):
        mine = [job["val/loss"] for job in jobs if job["model"] == model]
        for number, points in enumerate(mine):
            tokens, values = zip(*points)
            curve.plot([t / 1e3 for t in tokens], values, color=colour, alpha=0.75, linewidth=1.4,
                       label=None if number else model)  # fmt: skip
        last = [points[-1][1] for points in mine]
        mean = sum(last) / len(last)
        half = 4.303 * math.sqrt(sum((x - mean) ** 2 for x in last) / (len(last) - 1) / len(last))
        end.errorbar([place], [mean], yerr=[half], color=colour, marker="o", capsize=6, linewidth=1.8)
        end.plot([place + 0.12] * len(last), last, ".", color=colour, alpha=0.7)
    curve.set(xlabel="thousand tokens", ylabel="val/loss", title="each seed")
    names = list(dict.fromkeys(job["model"] for job in jobs))
    end.set_xticks(range(len(names)), names)
    end.set(xlim=(-0.6, len(names) - 0.4), title="at the end: mean and its 95 %")
    _legend(curve)
    return _svg(figure, "Validation loss of two models with three seeds each")


def packing() -> str:
    """Eight documents in the sequences of each packing, a cell for each token that is predicted."""
    parts = []
    for name, rows in recorded()["packings"].items():
        cells = "".join(
            "<tr>"
            + "".join(f'<td class="d{document % 6 if document >= 0 else "none"}"></td>' for document in row)
            + "</tr>"
            for row in rows
        )
        padded = sum(document < 0 for row in rows for document in row)
        said = f"{len(rows)} sequences, {padded} places empty"
        parts.append(f"<div><p><code>packing={name}</code><br>{said}</p><table class='cells'>{cells}</table></div>")
    return f'<figure class="packing">{"".join(parts)}</figure>'


def attention() -> str:
    """The weights of one head: a row for each token that looks, a column for each that is looked at."""
    found = recorded()["attention"]
    shown = [repr(token)[1:-1].replace(" ", "␣") for token in found["tokens"]]
    size, margin, top = 20, 92, 62
    side = margin + len(shown) * size + 6
    lines = [f'<svg viewBox="0 {margin - top} {side} {side - margin + top}" class="attention">']
    for i, token in enumerate(shown):
        middle = margin + i * size + size / 2
        lines.append(f'<text x="{margin - 6}" y="{middle + 4:g}" text-anchor="end">{escape(token)}</text>')
        lines.append(f'<text transform="translate({middle + 4:g} {margin - 6}) rotate(-60)">{escape(token)}</text>')
        for j in range(i + 1):
            weight = found["weights"][i][j]
            lines.append(
                f'<rect x="{margin + j * size}" y="{margin + i * size}" width="{size - 1}" height="{size - 1}" rx="2" '
                f'fill-opacity="{0.04 + 0.96 * weight:.3f}"><title>{escape(token)} to {escape(shown[j])}: '
                f"{weight:.2f}</title></rect>"
            )
    caption = f"Block {found['layer']}, head {found['head']} of the model of <code>python train.py</code>."
    return f'<figure class="drawn">{"".join(lines)}</svg><figcaption>{caption}</figcaption></figure>'


DRAWN: dict[str, Callable[[], str]] = {
    "learning": learning,
    "schedules": schedules,
    "sampling": sampling,
    "sweep": sweep,
    "packing": packing,
    "attention": attention,
}
"""Name in `<!-- drawn: name -->` -> what draws it."""
