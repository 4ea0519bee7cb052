"""What every HTML page here shares: one file, one style, no network; all text is escaped by whoever puts it in."""

import html
import math
from collections.abc import Iterable, Mapping
from typing import Any

STYLE = """
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


def page(title: str, sections: Iterable[str], *, style: str = "") -> str:
    """Return the whole page; `sections` are HTML already, `style` is CSS besides the common one."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def panel(title: str, body: str) -> str:
    """Return a heading and `body` (HTML) in a box below it; nothing without a body."""
    return f"<h2>{html.escape(title)}</h2><div class=panel>{body}</div>" if body else ""


def tiles(cells: Iterable[tuple[str, str]]) -> str:
    """Return (value, what it is), as texts, in boxes beside each other; nothing without any."""
    boxes = [f"<div class=tile><b>{html.escape(v)}</b><span>{html.escape(n)}</span></div>" for v, n in cells]
    return f"<div class=tiles>{''.join(boxes)}</div>" if boxes else ""


def lines(text: Iterable[str] | str) -> str:
    """Return lines of text as they stand; nothing for blank ones."""
    text = text if isinstance(text, str) else "\n".join(text)
    return f"<pre>{html.escape(text)}</pre>" if text.strip() else ""


def table(rows: Mapping[str, Any]) -> str:
    """Return names and values, a row each; nothing without any."""
    cells = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_plain(value))}</td></tr>" for name, value in rows.items()
    ]
    return f"<table>{''.join(cells)}</table>" if cells else ""


def number(value: float) -> str:
    """Return a number to four digits, a great one as a whole."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
