"""report.html and loss.png: one page that shows what a run was, how it went and what came of it. Needs no network."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prospero.paths import write_text
from prospero.plain import flat
from prospero.runs.figures import Series, draw_loss, loss_alone, plot_loss, plot_one, svg
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.runs.page import lines, number, page, panel, table, tiles
from prospero.secret_values import scrub

_MAX_SAMPLES = 6


def write_report(
    run_dir: Path,
    *,
    title: str,
    config: Mapping[str, Any],
    receipt_lines: Iterable[str] | str = (),
    results: Mapping[str, float | None] | None = None,
    stop_reason: str = "",
    usage_lines: Iterable[str] | str = (),
) -> Path:
    """Write `report.html` and `loss.png` into the run folder from its files, and return the page's path.

    Reads metrics.csv, environment.json, samples.md and evaluation.md where they are. `config` must have its secrets
    redacted. All text is escaped, since samples and settings may hold anything.
    """
    run = RunFolder(run_dir)
    series = loss_alone(metric_series(run.metrics), config.get("regularizers") or {})
    draw_loss(series, run.loss_picture, title)
    sections = [
        f"<h1>{html.escape(title)}</h1><p class=quiet>{html.escape(_summary(series, stop_reason))}</p>",
        _tiles(results or {}, series),
        _curves(series, [*(config.get("tasks") or {}), *(config.get("analyses") or {})]),
        _samples(run.samples),
        _samples(run.evaluation, "What the tasks saw", most=2 * _MAX_SAMPLES),
        panel("What it took", lines(usage_lines)),
        panel("Data", lines(receipt_lines)),
        panel("Settings", table(flat(config))),
        panel("Environment", table(flat(_read_json(run.environment)))),
    ]
    write_text(run.report, scrub(page(title, sections)))
    return run.report


def _summary(series: Series, stop_reason: str) -> str:
    steps = max((points[-1][0] for points in series.values() if points), default=0)
    tokens = series["tokens"][-1][1] if series.get("tokens") else 0
    seconds = series["train/seconds"][-1][1] if series.get("train/seconds") else None
    parts = [f"{steps:,} steps", f"{int(tokens):,} tokens"]
    parts += [f"{seconds / 60:.1f} minutes of training"] if seconds is not None else []
    parts += [f"ended by: {stop_reason}"] if stop_reason else []
    return " · ".join(parts)


def _tiles(results: Mapping[str, float | None], series: Series) -> str:
    shown = {name: value for name, value in results.items() if value is not None}
    for name in ("train/tokens_per_second", "train/mfu"):
        if series.get(name):
            shown[name] = series[name][-1][1]
    return tiles((number(value), _words(name)) for name, value in shown.items())


def _curves(series: Series, tasks: Iterable[str]) -> str:
    drawings = []
    if series.get("train/loss") or series.get("val/loss"):
        drawings.append(svg(lambda axes: plot_loss(axes, series)))
    of_tasks = [name for name in series for task in tasks if name.startswith(f"val/{task}/")]
    for name, label in (
        ("val/bits_per_byte", "validation bits per byte"),
        ("train/lr", "learning rate"),
        ("train/grad_norm", "gradient norm"),
        ("train/tokens_per_second", "tokens per second"),
        *((name, name.removeprefix("val/").replace("/", ": ").replace("_", " ")) for name in of_tasks),
    ):
        if len(series.get(name, [])) > 1:
            drawings.append(svg(lambda axes, name=name, label=label: plot_one(axes, series[name], label)))
    panels = "".join(f"<div class=panel>{drawing}</div>" for drawing in drawings)
    return f"<h2>Curves</h2><div class=curves>{panels}</div>" if panels else ""


def _samples(path: Path, title: str = "Samples", *, most: int = _MAX_SAMPLES) -> str:
    """Show the newest samples: what follows the last headings of a file of them."""
    if not path.is_file():
        return ""
    parts = re.split(r"^## (?=step \d)", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[1:]
    blocks = []
    for part in reversed(parts[-most:]):
        heading, _, text = part.partition("\n")
        body = re.sub(r"\A`{3,}\w*\n|\n`{3,}\Z", "", text.strip())
        blocks.append(f"<div class=panel><p class=quiet>{html.escape(heading)}</p><pre>{html.escape(body)}</pre></div>")
    return f"<h2>{title}</h2>{''.join(blocks)}" if blocks else ""


def _words(name: str) -> str:
    split, _, metric = name.partition("/") if "/" in name else ("", "", name)
    words = metric.replace("_", " ").replace("/", " ").replace("mfu", "MFU (share of peak)")
    return f"{ {'val': 'validation', 'train': 'training'}.get(split, split) } {words}".strip()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
