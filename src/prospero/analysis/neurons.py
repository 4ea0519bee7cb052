"""Neuron dashboards: which texts move a unit most, how often it is how large, and which tokens it speaks for.

Units are the hidden neurons of feed-forward layers (Geva et al. 2021, arXiv:2012.14913, read them as keys of patterns
and values over the vocabulary), or the states of an RNN (Karpathy et al. 2015, arXiv:1506.02078), or any other point.

Shapes: R rows, T tokens of a row, W units of a point.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.analysis.base import Analysis, model_of
from prospero.analysis.reading import layer_points
from prospero.analysis.text_rows import TextRows, TextRowsConfig
from prospero.analysis.unit_texts import (
    check_has_units,
    direction_of,
    histogram,
    in_context,
    listed,
    most_moving,
    promoted,
    shown,
)
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, ratio
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel
from prospero.model.hooks import matching, points, record
from prospero.runs.figures import GREY, INK, style

TOP_SHARE = 0.01
"""Of the units: how much of the variance those carry that vary most."""
CONSTANT = 1e-6
"""Standard deviation up to which a unit says nothing of the text."""
TOKENS_SHOWN = 8
"""Tokens that a unit raises most, and lowers most."""
NUMBERS = ("mean", "deviation", "above_zero")
"""What is said of the activations of a unit."""
MOST_DRAWN = 24
"""Histograms in the picture."""


@dataclass(kw_only=True, slots=True)
class NeuronsConfig(TextRowsConfig):
    """Dashboards of neurons: texts that move them most, histogram, tokens that they raise."""

    points: list[str] = field(default_factory=list)
    """Whose units, patterns with *; without any, the hidden neurons of feed-forward layers, of an RNN its states."""
    units: list[str] = field(default_factory=list)
    """Units to show, as point:number (block.2.feed_forward.hidden:17); without any, those that vary most."""
    per_point: int = 3
    """Without units: how many of each point."""
    texts: int = 6
    """Texts for each unit, of different rows."""
    context: int = 12
    """Tokens that are shown on either side."""

    def __post_init__(self) -> None:
        TextRowsConfig.__post_init__(self)
        for name, least in (("per_point", 1), ("texts", 1), ("context", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least {least}")
        if self.points and self.units:
            raise ConfigError("units= name their points themselves; leave points= out, or units=")
        for unit in self.units:
            point, _, number = unit.rpartition(":")
            if not point or not number.isdecimal():
                raise ConfigError(f"units: '{unit}' is none; write point:number, as block.2.feed_forward.hidden:17")
            check_has_units(point, "units")
        for point in self.points:
            check_has_units(point, "points")

    def build(self, name: str, facts: AnalysisFacts) -> "Neurons":
        """Return the analysis with its rows found."""
        return Neurons(name, self, self.rows(name, facts))


class Neurons(Analysis):
    """One item: all rows are read, twice where the units that vary most are not known yet."""

    def __init__(self, name: str, config: NeuronsConfig, rows: TextRows) -> None:
        super().__init__(name)
        self.config, self.rows = config, rows

    @property
    def quantities(self) -> list[Quantity]:
        """Share of units that never change, and of the variance that a hundredth of the units carry."""
        return [
            Quantity(name="constant", higher_is_better=False),
            Quantity(name="variance_of_top_percent", finish=ratio, higher_is_better=False),
        ]

    @property
    def size(self) -> int:
        """One."""
        return 1

    @property
    def facts(self) -> dict[str, Any]:
        """Which text was read."""
        return dict(self.rows.facts)

    @property
    def caveats(self) -> list[str]:
        """What a dashboard cannot say."""
        return [
            "The texts that move a unit most show its extremes; what it does elsewhere may be another thing, and one "
            "unit may serve several features (Bolukbasi et al. 2021, arXiv:2104.07143; Elhage et al. 2022).",
            "Raised and lowered tokens are the unit's direct way to the head; what later layers make of it is not in "
            "them, and the activation's sign decides which of the two lists it speaks for.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Find the units, and read what moves them."""
        self.rows.check(subject)
        model, at_once = model_of(subject), subject.rows
        for item in items:
            with evaluating(model), torch.no_grad():
                names = self._points(model)
                moments = self._moments(model, names, at_once)
                chosen = self._chosen(names, moments)
                values = self._values(model, chosen, at_once)
            ids = self.rows.read(range(self.rows.size)).input_ids.numpy()
            units = []
            for point, unit in chosen:
                vector = F.one_hot(torch.tensor(unit), len(moments[point].variance)).float()
                direction = direction_of(model, point, vector)
                speaks = {} if direction is None else promoted(model, point, direction, subject.tokenizer, TOKENS_SHOWN)
                found = self._dashboard(values[point, unit], ids, subject.tokenizer)
                units.append({**_about(moments, point, unit), **found, **speaks})
            yield Outcome(item, _statistics(moments), {"units": units})

    def _points(self, model: LanguageModel) -> list[str]:
        if self.config.units:
            return matching(model, list(dict.fromkeys(unit.rpartition(":")[0] for unit in self.config.units)))
        if self.config.points:
            return matching(model, self.config.points)
        hidden = [name for name in points(model) if name.endswith(".feed_forward.hidden")]
        return hidden or layer_points(model)

    def _read(self, model: LanguageModel, names: Sequence[str], at_once: int) -> Iterator[dict[str, Tensor]]:
        """Yield what stands at points, float32 [rows, T, W], some rows at a time."""
        for start in range(0, self.rows.size, at_once):
            rows = self.rows.read(range(start, min(start + at_once, self.rows.size)))
            with record(model, names) as found:
                model(rows.input_ids.to(model.device), logits=False)
            yield {name: value.flatten(2).float() for name, value in found.items()}

    def _moments(self, model: LanguageModel, names: Sequence[str], at_once: int) -> "Mapping[str, Moments]":
        sums: dict[str, Tensor] = {}
        count = 0
        for found in self._read(model, names, at_once):
            count += next(iter(found.values())).shape[:2].numel()
            for name, value in found.items():
                wide = value.double()
                some = torch.stack([wide.sum(dim=(0, 1)), wide.square().sum(dim=(0, 1)), (wide > 0).sum(dim=(0, 1))])
                sums[name] = some if name not in sums else sums[name] + some
        return {name: Moments.of(total.cpu().numpy() / count) for name, total in sums.items()}

    def _chosen(self, names: Sequence[str], moments: "Mapping[str, Moments]") -> list[tuple[str, int]]:
        if not self.config.units:
            tops = {name: np.argsort(-moments[name].variance, kind="stable") for name in names}
            return [(name, int(unit)) for name in names for unit in tops[name][: self.config.per_point]]
        found = []
        for unit in self.config.units:
            point, _, number = unit.rpartition(":")
            if int(number) >= len(moments[point].variance):
                raise ConfigError(f"units: {point} has units 0 to {len(moments[point].variance) - 1}, not {number}")
            found.append((point, int(number)))
        return found

    def _values(
        self, model: LanguageModel, chosen: Sequence[tuple[str, int]], at_once: int
    ) -> dict[tuple[str, int], np.ndarray]:
        """Return the activations [R, T] of each unit."""
        parts: dict[tuple[str, int], list[np.ndarray]] = {unit: [] for unit in chosen}
        for found in self._read(model, list(dict.fromkeys(name for name, _ in chosen)), at_once):
            for name, unit in chosen:
                parts[name, unit].append(found[name][:, :, unit].cpu().numpy())
        return {unit: np.concatenate(some) for unit, some in parts.items()}

    def _dashboard(self, values: np.ndarray, ids: np.ndarray, tokenizer: Tokenizer) -> dict[str, Any]:
        count, context = self.config.texts, self.config.context
        top = most_moving(values, ids, tokenizer, count=count, context=context, usual=float(values.mean()))
        return {"texts": [one.plain() for one in top], "histogram": histogram(values.ravel())}

    def tables(self, measured: Measured) -> list[Table]:
        """Return an overview of the units, and the texts that move them."""
        units = measured.outcomes[0].record["units"]
        overview = [
            [_name(one), *(one[name] for name in NUMBERS), listed(one, "raised"), listed(one, "lowered")]
            for one in units
        ]
        texts = [[_name(one), text["value"], in_context(text)] for one in units for text in one["texts"]]
        columns = ("unit", "mean", "deviation", "above 0", "raises", "lowers")
        return [
            Table(title="Units", columns=columns, rows=overview),
            Table(title="Texts that move them most", columns=("unit", "value", "«token» in its text"), rows=texts),
        ]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw a histogram for each unit."""
        units = measured.outcomes[0].record["units"][:MOST_DRAWN]
        columns = min(4, len(units))
        rows = -(-len(units) // columns)
        figure.set_size_inches(3.0 * columns, 2.1 * rows)
        for place, one in enumerate(units):
            _draw_unit(figure.add_subplot(rows, columns, place + 1), one)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What is known of all units of a point, float64 [W]."""

    mean: np.ndarray
    variance: np.ndarray
    above_zero: np.ndarray
    """Share of tokens at which a unit is above 0."""

    @classmethod
    def of(cls, means: np.ndarray) -> "Moments":
        """Return them of the means [3, W] of values, squares, and signs."""
        return cls(mean=means[0], variance=np.maximum(means[1] - means[0] ** 2, 0), above_zero=means[2])


def _about(moments: Mapping[str, Moments], point: str, unit: int) -> dict[str, Any]:
    of = moments[point]
    numbers = zip(NUMBERS, (of.mean[unit], of.variance[unit] ** 0.5, of.above_zero[unit]))
    return {"point": point, "unit": unit, **{name: round(float(value), 5) for name, value in numbers}}


def _statistics(moments: Mapping[str, Moments]) -> dict[str, list[float]]:
    variances = np.concatenate([of.variance for of in moments.values()])
    top = np.sort(variances)[::-1][: max(1, round(TOP_SHARE * len(variances)))]
    constant = float((variances <= CONSTANT**2).sum())
    return {
        "constant": [constant, float(len(variances))],
        "variance_of_top_percent": [float(top.sum()), float(variances.sum())],
    }


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['point']}:{one['unit']}"


def _draw_unit(axes: Any, one: Mapping[str, Any]) -> None:
    style(axes)
    counts, low, high = one["histogram"]["counts"], one["histogram"]["low"], one["histogram"]["high"]
    width = (high - low) / len(counts)
    axes.bar([low + width * (place + 0.5) for place in range(len(counts))], counts, width=width, color="#4c78a8")
    axes.set_yscale("log")
    axes.tick_params(colors=GREY, labelsize=6)
    tokens = f"\nraises {' '.join(shown(token) for token in one['raised'][:5])}" if "raised" in one else ""
    axes.set_title(_name(one) + tokens, loc="left", fontsize=7, color=INK, parse_math=False)
