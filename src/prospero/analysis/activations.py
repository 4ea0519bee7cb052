"""Activations: how large the residual stream is after each block, and how much of it a few channels carry.

The root mean square of the stream grows with depth in a model whose norms stand before its layers; a kurtosis far above
3 (that of a normal distribution) means outlier channels, which make low-precision arithmetic lose accuracy (Dettmers et
al. 2022, arXiv:2208.07339).

Shapes: B rows, T time, D d_model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prospero.analysis.base import model_of
from prospero.analysis.reading import layer_points, read
from prospero.analysis.text_rows import RowAnalysis, TextRows, TextRowsConfig
from prospero.batch import IGNORE_INDEX
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.model.hooks import record


@dataclass(kw_only=True, slots=True)
class ActivationsConfig(TextRowsConfig):
    """Size and kurtosis of the residual stream by layer."""

    def build(self, name: str, facts: AnalysisFacts) -> "Activations":
        """Return the analysis, its texts found."""
        return Activations(name, self.rows(name, facts), facts.n_layers)


class Activations(RowAnalysis):
    """See the head of this file."""

    def __init__(self, name: str, rows: TextRows, n_layers: int) -> None:
        super().__init__(name, rows)
        self.n_layers = n_layers

    @property
    def quantities(self) -> list[Quantity]:
        """Root mean square and kurtosis after each block."""
        kinds = (("rms", _root), ("kurtosis", _kurtosis))
        return [
            Quantity(name=f"{kind}/{layer}", finish=finish, higher_is_better=False)
            for kind, finish in kinds
            for layer in range(self.n_layers)
        ]

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return ["A large channel is not a fault by itself: it says that low precision needs care there."]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read the rows side by side; the statistics are the sums of the second and fourth powers, and their count."""
        self.rows.check(subject)
        model = model_of(subject)
        names = layer_points(model)
        with torch.no_grad(), record(model, names) as found:
            rows = self.rows.read(items).to(model.device)
            read(model, rows)
        asked = rows.labels != IGNORE_INDEX  # the last row of a text is filled up
        for place, item in enumerate(items):
            statistics = {}
            for layer, name in enumerate(names):
                values = found[name][place][asked[place]].double()
                square = values.square()
                sums = [float(square.sum()), float(square.square().sum()), float(values.numel())]
                statistics[f"rms/{layer}"] = statistics[f"kurtosis/{layer}"] = sums
            yield Outcome(item, statistics)

    def tables(self, measured: Measured) -> list[Table]:
        """Layer by layer."""
        rows = [
            [layer, measured.value(f"rms/{layer}"), measured.value(f"kurtosis/{layer}")]
            for layer in range(self.n_layers)
        ]
        return [Table(title="The residual stream after each block", columns=("block", "rms", "kurtosis"), rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Both by layer."""
        left, right = figure.subplots(1, 2)
        layers = list(range(self.n_layers))
        for axes, kind in ((left, "rms"), (right, "kurtosis")):
            axes.plot(layers, [measured.value(f"{kind}/{layer}") for layer in layers], marker="o", color="#4c78a8")
            axes.set_xlabel("block")
            axes.set_ylabel(kind)
            axes.set_xticks(layers)
        return True


def _root(sums: Any) -> Any:
    return (sums[..., 0] / sums[..., 2]) ** 0.5


def _kurtosis(sums: Any) -> Any:
    return sums[..., 1] / sums[..., 2] / (sums[..., 0] / sums[..., 2]) ** 2
