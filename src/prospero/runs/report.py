"""report.html and loss.png: one page that shows what a run was, how it went and what came of it. Needs no network."""

import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prospero.paths import write_text
from prospero.plain import flat
from prospero.runs.figures import Series, draw_loss, loss_alone, plot_loss, plot_one, svg
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.secret_values import scrub

_MAX_SAMPLES = 6

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, -apple-system, sans-serif; color: #24292f; background: #f6f7f9; margin: 0; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 36px 0 12px; }
.quiet { color: #656d76; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0; }
.tile, .panel { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.tile span { color: #656d76; font-size: 13px; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); gap: 12px; }
.curves svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
td { padding: 3px 8px 3px 0; border-bottom: 1px solid #eef0f2; vertical-align: top; }
td:first-child { color: #656d76; width: 34%; font-family: ui-monospace, monospace; }
td:last-child { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; margin: 0; }
details > summary { cursor: pointer; color: #656d76; margin: 8px 0; }
"""


def write_report(
    run_dir: Path,
    *,
    title: str,
    config: Mapping[str, Any],
    receipt_lines: Iterable[str] | str = (),
    results: Mapping[str, float | None] | None = None,
    stop_reason: str = "",
) -> Path:
    """Write `report.html` and `loss.png` into the run folder from its files, and return the page's path.

    Reads metrics.csv, environment.json and samples.md where they are. `config` must have its secrets redacted. All text
    is escaped, since samples and settings may hold anything.
    """
    run = RunFolder(run_dir)
    series = loss_alone(metric_series(run.metrics), config.get("regularizers") or {})
    draw_loss(series, run.loss_picture, title)
    sections = [
        f"<h1>{html.escape(title)}</h1><p class=quiet>{html.escape(_summary(series, stop_reason))}</p>",
        _tiles(results or {}, series),
        _curves(series),
        _samples(run.samples),
        _panel("Data", _lines(receipt_lines)),
        _panel("Settings", _table(flat(config))),
        _panel("Environment", _table(flat(_read_json(run.environment)))),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )
    write_text(run.report, scrub(page))
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
    cells = [
        f"<div class=tile><b>{_number(v)}</b><span>{html.escape(_words(n))}</span></div>" for n, v in shown.items()
    ]
    return f"<div class=tiles>{''.join(cells)}</div>" if cells else ""


def _curves(series: Series) -> str:
    drawings = []
    if series.get("train/loss") or series.get("val/loss"):
        drawings.append(svg(lambda axes: plot_loss(axes, series)))
    for name, label in (
        ("val/bits_per_byte", "validation bits per byte"),
        ("train/lr", "learning rate"),
        ("train/grad_norm", "gradient norm"),
        ("train/tokens_per_second", "tokens per second"),
    ):
        if len(series.get(name, [])) > 1:
            drawings.append(svg(lambda axes, name=name, label=label: plot_one(axes, series[name], label)))
    panels = "".join(f"<div class=panel>{drawing}</div>" for drawing in drawings)
    return f"<h2>Curves</h2><div class=curves>{panels}</div>" if panels else ""


def _samples(path: Path) -> str:
    """Show the newest samples: what follows the last headings of samples.md."""
    if not path.is_file():
        return ""
    parts = re.split(r"^## (?=step \d)", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[1:]
    blocks = []
    for part in reversed(parts[-_MAX_SAMPLES:]):
        heading, _, text = part.partition("\n")
        body = re.sub(r"\A`{3,}\w*\n|\n`{3,}\Z", "", text.strip())
        blocks.append(f"<div class=panel><p class=quiet>{html.escape(heading)}</p><pre>{html.escape(body)}</pre></div>")
    return f"<h2>Samples</h2>{''.join(blocks)}" if blocks else ""


def _lines(lines: Iterable[str] | str) -> str:
    text = lines if isinstance(lines, str) else "\n".join(lines)
    return f"<pre>{html.escape(text)}</pre>" if text.strip() else ""


def _panel(title: str, body: str) -> str:
    return f"<h2>{title}</h2><div class=panel>{body}</div>" if body else ""


def _table(rows: Mapping[str, Any]) -> str:
    cells = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_plain(value))}</td></tr>" for name, value in rows.items()
    ]
    return f"<table>{''.join(cells)}</table>" if cells else ""


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _words(name: str) -> str:
    split, _, metric = name.rpartition("/")
    words = (metric or name).replace("_", " ").replace("mfu", "MFU (share of peak)")
    return f"{ {'val': 'validation', 'train': 'training'}.get(split, split) } {words}".strip()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
