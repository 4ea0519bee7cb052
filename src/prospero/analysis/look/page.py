"""The page of `prospero look`: one HTML file with its data, its style and its script inside; it asks no network.

Attention is stored as 8-bit numbers (0 to 255 for weights from 0 to 1), all else rounded to four digits. What a text
or a token spells is put in as text by the script, never as HTML.
"""

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prospero.analysis.look.glimpse import Glimpse
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.runs.page import page, table

HERE = Path(__file__).parent


def look_page(title: str, facts: Mapping[str, Any], seen: Glimpse, tokenizer: Tokenizer) -> str:
    """Return the page; `facts` stand below its heading."""
    data = json.dumps(_data(seen, tokenizer), ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        (HERE / "look.html").read_text(encoding="utf-8"),
        f"<details><summary>What this was made with</summary><div class=panel>{table(facts)}</div></details>",
        f'<script type="application/json" id="data">{data}</script>',
        f"<script>{(HERE / 'look.js').read_text(encoding='utf-8')}</script>",
    ]
    return page(title, sections, style=(HERE / "look.css").read_text(encoding="utf-8"))


def _data(seen: Glimpse, tokenizer: Tokenizer) -> dict[str, Any]:
    shown = sorted({*seen.ids, *seen.likely.flatten().tolist(), *seen.lens.flatten().tolist()})
    return {
        "texts": {str(token): tokenizer.decode([token]) for token in shown},
        "ids": list(seen.ids),
        "likely": _pairs(seen.likely, seen.probability),
        "surprise": _numbers(seen.surprise),
        "rank": seen.rank.tolist(),
        "places": [_place(name) for name in seen.places],
        "lens": [_pairs(ids, p) for ids, p in zip(seen.lens, seen.lens_probability)],
        "attention": [[_bytes(head) for head in layer] for layer in seen.attention],
        "attributions": None if seen.attributions is None else [_numbers(row) for row in seen.attributions],
    }


def _place(name: str) -> str:
    parts = name.split(".")
    return name if len(parts) == 1 else f"block {parts[1]}"


def _pairs(ids: Tensor, probability: Tensor) -> list[list[list[float]]]:
    rows = zip(ids.tolist(), probability.tolist())
    return [[[token, round(p, 4)] for token, p in zip(tokens, ps)] for tokens, ps in rows]


def _numbers(values: Tensor) -> list[float | None]:
    return [round(value, 4) if math.isfinite(value) else None for value in values.tolist()]


def _bytes(weights: Tensor) -> str:
    """Return the rows of a head's weights [T, T], up to the diagonal, as base64 of bytes."""
    levels = (weights.clamp(0, 1) * 255).round().to(torch.uint8)
    rows: Sequence[bytes] = [bytes(row[: place + 1].tolist()) for place, row in enumerate(levels)]
    return base64.b64encode(b"".join(rows)).decode("ascii")
