"""report.html of an evaluation: its numbers, and per task the best, the worst and random items side by side."""

import html
import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prospero.evaluation.measurement import Measured, Outcome
from prospero.evaluation.results import CONFIDENCE, Estimate, between, cell_text, shown
from prospero.paths import write_text
from prospero.plain import flat
from prospero.runs.figures import canvas, save, svg_of
from prospero.runs.folder import EvaluationFolder
from prospero.runs.page import page, panel, table, tiles
from prospero.secret_values import scrub

EXAMPLES = 5
"""Items in each of the three columns."""
MOST_CHARACTERS = 1500
"""Of one field of an item; the rest stands in samples.jsonl."""
_STYLE = """
main { max-width: 1280px; }
.columns { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px; }
.columns h3 { font-size: 14px; margin: 8px 0; }
.columns .panel { margin-bottom: 12px; }
.columns dt { color: #656d76; font-size: 12px; margin-top: 6px; }
.columns dd { margin: 0; }
.numbers td:first-child { width: auto; }
.picture svg { width: 100%; height: auto; }
.numbers th { text-align: left; font-weight: 500; color: #656d76; padding: 3px 8px 3px 0; }
@media (max-width: 800px) { .columns { grid-template-columns: 1fr; } }
"""


def write_evaluation_report(
    folder: EvaluationFolder,
    *,
    title: str,
    subtitle: str,
    measured: Sequence[Measured],
    found: Mapping[str, Mapping[str, Estimate]],
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Write the page; `settings` must have their secrets redacted. All text is escaped."""
    sections = [f"<h1>{html.escape(title)}</h1><p class=quiet>{html.escape(subtitle)}</p>", _tiles(found)]
    for one in measured:
        sections.append(f"<h2>{html.escape(one.name)}</h2>{_picture(one, folder)}{_numbers(found[one.name])}")
        sections.append(f"{_caveats(one)}{_tables(one)}{_examples(one, seed)}")
        sections.append(_details(f"What {one.name} was measured with", table(flat(one.facts))))
    sections.append(panel("Settings", table(flat(settings))))
    write_text(folder.report, scrub(page(title, sections, style=_STYLE)))


def _tiles(found: Mapping[str, Mapping[str, Estimate]]) -> str:
    """The first number of each task."""
    firsts = [(task, *next(iter(numbers.items()))) for task, numbers in found.items() if numbers]
    return tiles((shown(one.value), f"{task}/{name}: {between(one)}") for task, name, one in firsts)


def _picture(measured: Measured, folder: EvaluationFolder) -> str:
    """Draw what the measurement draws: as a file of its own, and here."""
    drawn = canvas(9.0, 5.0)
    if not measured.measurement.draw(measured, drawn):
        return ""
    save(drawn, folder.picture(measured.name))
    return f"<div class='panel picture'>{svg_of(drawn)}</div>"


def _caveats(measured: Measured) -> str:
    return "".join(f"<p class=quiet>{html.escape(caveat)}</p>" for caveat in measured.measurement.caveats)


def _tables(measured: Measured) -> str:
    found = []
    for one in measured.measurement.tables(measured):
        head = "".join(f"<th>{html.escape(column)}</th>" for column in one.columns)
        rows = ("".join(f"<td>{html.escape(cell_text(cell))}</td>" for cell in row) for row in one.rows)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        inner = f"<table class=numbers><tr>{head}</tr>{body}</table>"
        found.append(f"<h3>{html.escape(one.title)}</h3><div class=panel>{inner}</div>")
    return "".join(found)


def _numbers(numbers: Mapping[str, Estimate]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("", "value", f"{CONFIDENCE * 100:.0f} % interval", "items", ""))
    rows = []
    for name, one in numbers.items():
        cells = (name, shown(one.value), between(one), f"{one.samples:,}", one.better)
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<div class=panel><table class=numbers><tr>{head}</tr>{body}</table></div>"


def _examples(measured: Measured, seed: int) -> str:
    """Show items by the first quantity that tells them apart."""
    scores = {name: measured.scores(name) for name in measured.quantities}
    name = judged_by(scores)
    if name is None:
        return ""
    judged, n = scores[name], len(scores[name])
    order = np.argsort(-judged if measured.quantities[name].higher_is_better else judged, kind="stable")
    order = [int(place) for place in order if math.isfinite(judged[place])]
    columns = {
        f"Best by {name}": order[:EXAMPLES],
        f"Worst by {name}": order[::-1][:EXAMPLES],
        "At random": sorted(random.Random(seed).sample(range(n), min(EXAMPLES, n))),
    }
    blocks = []
    for head, places in columns.items():
        items = [_item(measured.outcomes[place], {key: row[place] for key, row in scores.items()}) for place in places]
        blocks.append(f"<div><h3>{html.escape(head)}</h3>{''.join(items)}</div>")
    return f"<div class=columns>{''.join(blocks)}</div>"


def judged_by(scores: Mapping[str, np.ndarray]) -> str | None:
    """Return the first quantity by which two items differ, else the first that any item has; None without one."""
    known = {name: row[np.isfinite(row)] for name, row in scores.items()}
    with_number = [name for name, row in known.items() if len(row)]
    telling = [name for name in with_number if (known[name] != known[name][0]).any()]
    return next(iter(telling or with_number), None)


def _item(outcome: Outcome, scores: Mapping[str, float]) -> str:
    line = "  ".join(f"{name} {shown(float(score))}" for name, score in scores.items() if math.isfinite(score))
    fields = "".join(f"<dt>{html.escape(name)}</dt><dd>{_field(value)}</dd>" for name, value in _fields(outcome))
    return f"<div class=panel><p class=quiet>item {outcome.item} · {html.escape(line)}</p><dl>{fields}</dl></div>"


def _fields(outcome: Outcome) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in outcome.record.items() if value not in (None, [], {})]


def _field(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "".join(_field(one) for one in value)
    if value == "":
        return "<p class=quiet>(nothing)</p>"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    more = f" … ({len(text) - MOST_CHARACTERS:,} characters more)" if len(text) > MOST_CHARACTERS else ""
    return f"<pre>{html.escape(text[:MOST_CHARACTERS] + more)}</pre>"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary><div class=panel>{body}</div></details>" if body else ""
