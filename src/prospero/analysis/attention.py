"""Attention: where the heads of each layer look, in the mean over a text. The measures stand in attention_measures.py.

Shapes: B rows, N heads, T places, L layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.attention_measures import (
    distance,
    entropy,
    first_places,
    previous_token,
    rollout,
    sink_mass,
)
from prospero.analysis.base import model_of, needs_attention
from prospero.analysis.cells import cells_of, largest_cell, mean_cell, row_of
from prospero.analysis.pictures import heat_map, mosaic
from prospero.analysis.reading import Rows, check_all_heads, read_attention, rows_at_once
from prospero.analysis.text_rows import RowAnalysis, TextRows, TextRowsConfig
from prospero.batch import IGNORE_INDEX
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel

SHOWN_TOKENS = 24
"""Of the first row, the patterns that the picture shows."""
OF_HEADS = ("entropy", "distance", "sink", "previous_token")


@dataclass(kw_only=True, slots=True)
class AttentionConfig(TextRowsConfig):
    """Where each head looks: entropy, distance, sink, the token before; and rollout over all layers."""

    def build(self, name: str, facts: AnalysisFacts) -> "AttentionPatterns":
        """Return the analysis with its rows found; ConfigError for a model without attention."""
        needs_attention(name, facts)
        return AttentionPatterns(name, self.rows(name, facts), (facts.n_layers, facts.n_heads or 0))


class AttentionPatterns(RowAnalysis):
    """Reads the weights of every head over rows of text."""

    def __init__(self, name: str, rows: TextRows, shape: tuple[int, int]) -> None:
        super().__init__(name, rows)
        self.shape = shape
        """Layers, and heads of each."""

    @property
    def quantities(self) -> list[Quantity]:
        """Means over heads, of the token before the largest of any head; and what rollout makes of all layers."""
        return [
            Quantity(name="entropy", finish=mean_cell, higher_is_better=False),
            Quantity(name="distance", finish=mean_cell),
            Quantity(name="sink", finish=mean_cell, higher_is_better=False),
            Quantity(name="previous_token", finish=largest_cell),
            Quantity(name="rollout_first", higher_is_better=False),
            Quantity(name="rollout_distance"),
        ]

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [
            "Attention says which places a head reads, not what it takes from there, nor whether later layers use it "
            "(Jain and Wallace 2019, arXiv:1902.10186); a head that looks at the first token may do nothing "
            "(Xiao et al. 2023). What a head does for the loss is measured by analyses=[ablation]."
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read as many rows at a time as their weights leave room for."""
        self.rows.check(subject)
        model = model_of(subject)
        for some in _groups(model, self.rows, items, subject.rows):
            with evaluating(model), torch.inference_mode():
                rows = self.rows.read(some).to(model.device)
                _, weights = read_attention(model, rows)
                found = _statistics(model, weights, rows)
            check_all_heads(weights[0].shape[1], self.shape[1], self.name)
            for row, item in enumerate(some):
                told: dict[str, Any] = {"text": self.rows.shown(item)}
                if item == 0:
                    told["patterns"] = _patterns(weights, row)
                yield Outcome(item, found[row], told)

    def tables(self, measured: Measured) -> list[Table]:
        """Return the heads of every layer: the mean, and the head that stands out."""
        found = {name: cells_of(measured, name).reshape(self.shape) for name in OF_HEADS}
        rows = [[layer, *(float(each[layer].mean()) for each in found.values())] for layer in range(self.shape[0])]
        sinks, before = found["sink"], found["previous_token"]
        for layer, row in enumerate(rows):
            row += [_best(sinks[layer]), _best(before[layer])]
        columns = ["block", "entropy (nats)", "distance (tokens)", "on the first token", "on the token before"]
        columns += ["most on the first", "most on the one before"]
        return [Table(title="Means over the heads of each block", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw the patterns of the first row, and a map of layers x heads of each measure."""
        left, right = figure.subfigures(1, 2, width_ratios=[1.1, 1])
        patterns = _unpacked(measured.outcomes[0].record["patterns"])
        mosaic(left.subplots(), patterns, f"Patterns of the first row, {patterns.shape[-1]} tokens")
        titles = ("entropy (nats)", "distance (tokens)", "on the first token", "on the token before")
        shares = {"sink": 1.0, "previous_token": 1.0}
        for axes, name, title in zip(right.subplots(2, 2).flat, OF_HEADS, titles):
            values = cells_of(measured, name).reshape(self.shape)
            heat_map(right, axes, values, title, low=0.0, high=shares.get(name))
        return True


def _groups(model: LanguageModel, rows: TextRows, items: Sequence[int], wanted: int) -> Iterator[Sequence[int]]:
    step = rows_at_once(model, rows.packing.seq_len, wanted)
    for start in range(0, len(items), step):
        yield items[start : start + step]


def _statistics(model: LanguageModel, weights: Sequence[Tensor], rows: Rows) -> list[Mapping[str, Sequence[float]]]:
    """Return the sums over the queries of each row that see more than themselves and predict something."""
    first = first_places(rows.document_ids if model.reads_document_ids else torch.zeros_like(rows.document_ids))
    places = torch.arange(first.shape[1], device=first.device)
    asked = (places > first) & (rows.labels != IGNORE_INDEX)
    cells: dict[str, list[Tensor]] = {name: [] for name in OF_HEADS}
    for layer in weights:
        chosen = asked[:, None]
        cells["entropy"].append((entropy(layer) * chosen).sum(-1, dtype=torch.float64))
        cells["distance"].append((distance(layer) * chosen).sum(-1, dtype=torch.float64))
        cells["sink"].append((sink_mass(layer, first) * chosen).sum(-1, dtype=torch.float64))
        cells["previous_token"].append((previous_token(layer) * chosen[..., 1:]).sum(-1, dtype=torch.float64))
    rolled = rollout(weights)
    back = (distance(rolled[:, None])[:, 0] * asked).sum(-1, dtype=torch.float64)
    at_first = (rolled.gather(-1, first[..., None])[..., 0] * asked).sum(-1, dtype=torch.float64)
    by_head = {name: torch.stack(found, dim=1).cpu().numpy() for name, found in cells.items()}  # [B, L, N]
    counts = asked.sum(-1).tolist()
    return [
        {
            **{name: row_of(values[row], count) for name, values in by_head.items()},
            "rollout_first": [float(at_first[row]), float(count)],
            "rollout_distance": [float(back[row]), float(count)],
        }
        for row, count in enumerate(counts)
    ]


def _patterns(weights: Sequence[Tensor], row: int) -> list[list[list[float]]]:
    """Return the pattern of each head's first tokens, its lower triangle row by row, to three digits."""
    side = min(SHOWN_TOKENS, weights[0].shape[-1])
    below = torch.tril_indices(side, side)
    return [
        [[round(value, 3) for value in head[below[0], below[1]].tolist()] for head in layer[row, :, :side, :side].cpu()]
        for layer in weights
    ]


def _unpacked(patterns: list[list[list[float]]]) -> np.ndarray:
    """Return patterns [L, N, Q, Q] of their lower triangles."""
    triangles = np.asarray(patterns)  # [L, N, Q (Q + 1) / 2]
    side = int(np.sqrt(2 * triangles.shape[-1]))
    whole = np.zeros((*triangles.shape[:2], side, side))
    whole[..., *np.tril_indices(side)] = triangles
    return whole


def _best(values: np.ndarray) -> str:
    """Return the head with the largest value, as `head 3: 0.81`."""
    return f"head {int(values.argmax())}: {values.max():.2f}"
