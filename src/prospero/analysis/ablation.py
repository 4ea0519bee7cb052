"""Ablation: what a head, or a whole layer of attention or feed-forward, is worth, by the loss without it.

What it writes into the residual stream is replaced by zero, or by its mean over the text (Michel et al. 2019,
arXiv:1905.10650, prune heads by such losses). A mean takes away what depends on the text and leaves the rest in place;
zero also moves the stream to where no layer after it has ever been, and so says more than the component's share.

Shapes: B rows, T places, N heads, H width of a head, D d_model, L layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.base import model_of, needs_attention
from prospero.analysis.cells import cells_of, cells_with_intervals, largest_cell, row_of
from prospero.analysis.pictures import curves, heat_map
from prospero.analysis.reading import Rows, check_all_heads, nats_of, read
from prospero.analysis.text_rows import RowAnalysis, TextRows, TextRowsConfig
from prospero.errors import ConfigError, suggest
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel
from prospero.model.hooks import record, replace
from prospero.model.taps import Change

POINT_OF = {"heads": "attention.heads", "attention": "attention.output", "feed_forward": "feed_forward.output"}
"""What is taken away -> the point of a block where it is."""
REFERENCE_ROWS = 16
"""Rows whose mean stands in for what is taken away."""
SHOWN = 10


class Replacement(Enum):
    """What stands in the place of what is taken away."""

    mean = "mean"
    zero = "zero"


@dataclass(kw_only=True, slots=True)
class AblationConfig(TextRowsConfig):
    """How much the loss rises without each head, each layer's attention, each layer's feed-forward."""

    by: Replacement = Replacement.mean
    """What stands in its place: its mean over the first 16 rows of the text, or zero."""
    parts: list[str] = field(default_factory=lambda: ["heads", "attention", "feed_forward"])
    """What is taken away, one at a time: heads, attention, feed_forward. Each costs a forward pass."""

    def __post_init__(self) -> None:
        # super() without arguments does not work in a class with slots.
        TextRowsConfig.__post_init__(self)
        if not self.parts:
            raise ConfigError(f"parts=[] takes nothing away; choose from {', '.join(POINT_OF)}")
        for part in self.parts:
            if part not in POINT_OF:
                raise ConfigError(f"parts: there is no '{part}'.{suggest(part, POINT_OF)}")

    def build(self, name: str, facts: AnalysisFacts) -> "Ablation":
        """Return the analysis with its rows found; ConfigError for a model without attention."""
        needs_attention(name, facts)
        shape = (facts.n_layers, facts.n_heads or 0)
        return Ablation(name, self.rows(name, facts), self.by, list(dict.fromkeys(self.parts)), shape)


class Ablation(RowAnalysis):
    """Measures the loss of each row, whole and with one thing at a time taken away."""

    def __init__(
        self, name: str, rows: TextRows, by: Replacement, parts: Sequence[str], shape: tuple[int, int]
    ) -> None:
        super().__init__(name, rows)
        self.by, self.parts, self.shape = by, parts, shape
        """What replaces what, and the layers and heads of the model."""

    @property
    def quantities(self) -> list[Quantity]:
        """The loss of the whole model, and the largest rise that any head, or any layer, makes."""
        rises = [Quantity(name=part, finish=largest_cell) for part in self.parts]
        return [Quantity(name="loss", higher_is_better=False), *rises]

    @property
    def facts(self) -> dict[str, Any]:
        """Which text was read, and what stood in the place of what was taken away."""
        return {**self.rows.facts, "by": self.by.name, "parts": list(self.parts)}

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [
            "One thing is taken away at a time: what two heads do both (backup heads, Wang et al. 2022, "
            "arXiv:2211.00593) shows in neither. A small rise does not say that a head does nothing."
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read `subject.rows` rows at a time, once for each thing that is taken away."""
        self.rows.check(subject)
        model = model_of(subject)
        with evaluating(model), torch.inference_mode():
            means = self._means(model)
        for start in range(0, len(items), subject.rows):
            some = items[start : start + subject.rows]
            rows = self.rows.read(some).to(model.device)
            with evaluating(model), torch.inference_mode():
                whole, without = self._losses(model, rows, means)
            counts = (rows.labels >= 0).sum(-1).tolist()
            for row, item in enumerate(some):
                statistics = {"loss": [float(whole[row]), float(counts[row])]}
                for part, nats in without.items():  # [L, N, B] or [L, 1, B]
                    statistics[part] = row_of((nats[..., row] - whole[row]).numpy(), counts[row])
                yield Outcome(item, statistics, {"text": self.rows.shown(item)})

    def _means(self, model: LanguageModel) -> Mapping[str, Tensor]:
        """Return what stands in for each point: [N, H] or [D], of the same rows whatever items are asked for."""
        names = [f"block.{b}.{POINT_OF[part]}" for part in self.parts for b in range(len(model.blocks))]
        reference = self.rows.read(range(min(self.size, REFERENCE_ROWS))).to(model.device)
        with record(model, names) as found:
            read(model, reference)
        if "heads" in self.parts:
            check_all_heads(found["block.0.attention.heads"].shape[2], self.shape[1], self.name)
        if self.by is Replacement.zero:
            return {name: torch.zeros_like(value[0, 0]) for name, value in found.items()}
        return {name: value.mean(dim=(0, 1)) for name, value in found.items()}

    def _losses(
        self, model: LanguageModel, rows: Rows, means: Mapping[str, Tensor]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the nats of each row [B], whole, and without each thing [L, N or 1, B], in float64 on the CPU."""

        def nats(changes: Mapping[str, Tensor | Change]) -> Tensor:
            with replace(model, changes):
                return nats_of(model, read(model, rows), rows.labels).double().sum(dim=-1).cpu()

        without = {}
        for part in self.parts:
            layers = []
            for layer in range(len(model.blocks)):
                name = f"block.{layer}.{POINT_OF[part]}"
                changes = _changes(part, means[name])
                layers.append(torch.stack([nats({name: change}) for change in changes]))
            without[part] = torch.stack(layers)
        return nats({}), without

    def tables(self, measured: Measured) -> list[Table]:
        """Return the largest rises of heads, and those of all layers."""
        tables = []
        for part in self.parts:
            values = cells_of(measured, part)
            places = np.argsort(-values, kind="stable")[:SHOWN] if part == "heads" else range(len(values))
            cells = cells_with_intervals(measured, part, [int(place) for place in places])
            head = part == "heads"
            heads = self.shape[1] if head else 1
            rows = [
                [cell.place // heads, *([cell.place % heads] if head else []), cell.value, cell.low, cell.high]
                for cell in cells
            ]
            title = f"Rise of the loss without {'a head, the largest' if head else _called(part) + ' of a block'}"
            columns = ["block", *(["head"] if head else []), "nats per token", "low", "high"]
            tables.append(Table(title=title, columns=columns, rows=rows))
        return tables

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw a map of the heads, and curves of the layers."""
        layered = [part for part in self.parts if part != "heads"]
        axes = iter(np.atleast_1d(figure.subplots(1, int("heads" in self.parts) + int(bool(layered)))))
        if "heads" in self.parts:
            values = cells_of(measured, "heads").reshape(self.shape)
            most = max(float(np.abs(values).max()), 1e-9)
            heat_map(figure, next(axes), values, "Rise of the loss without a head (nats)", low=-most, high=most)
        if layered:
            series = {_called(part): list(cells_of(measured, part)) for part in layered}
            layers = [str(layer) for layer in range(len(next(iter(series.values()))))]
            one = next(axes)
            curves(one, layers, series, "Without a layer of a block", "rise of the loss (nats)")
            one.set_xlabel("block")
        return True


def _changes(part: str, mean: Tensor) -> Sequence[Tensor | Change]:
    """Return the changes at one point: one for each head of [N, H], or the mean itself."""
    return [_without_head(head, mean) for head in range(len(mean))] if part == "heads" else [mean]


def _without_head(head: int, mean: Tensor) -> Change:
    """Return what replaces one head of heads [B, T, N, H]."""

    def change(there: Tensor, time: int | None = None) -> Tensor:
        changed = there.clone()
        changed[:, :, head] = mean[head]
        return changed

    return change


def _called(part: str) -> str:
    return part.replace("_", "-")
