"""Logit lens: from which layer on a model knows what it will say. The numbers themselves are made in lens.py."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prospero.analysis.base import model_of
from prospero.analysis.cells import cells_of, cells_with_intervals, last_cell, mean_but_last, row_of
from prospero.analysis.lens import LensNumbers, lens, lens_points
from prospero.analysis.pictures import curves
from prospero.analysis.reading import read
from prospero.analysis.text_rows import RowAnalysis, TextRows, TextRowsConfig
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel
from prospero.model.hooks import record


@dataclass(kw_only=True, slots=True)
class LogitLensConfig(TextRowsConfig):
    """What each layer would predict if it were the last one."""

    def build(self, name: str, facts: AnalysisFacts) -> "LogitLens":
        """Return the analysis with its rows found."""
        blocks = [str(block) for block in range(facts.n_layers)]
        return LogitLens(name, self.rows(name, facts), blocks if facts.n_heads is None else ["embedding", *blocks])


class LogitLens(RowAnalysis):
    """Reads the residual stream after each layer through the last norm and the head."""

    def __init__(self, name: str, rows: TextRows, places: Sequence[str]) -> None:
        super().__init__(name, rows)
        self.places = places
        """Names of the places of the stream: the numbers of blocks, before them `embedding` where it is one."""

    @property
    def quantities(self) -> list[Quantity]:
        """Loss, probability and rank at the last place; KL and agreement in the mean of those before; KL of each."""
        return [
            Quantity(name="loss", finish=last_cell, higher_is_better=False),
            Quantity(name="kl", finish=mean_but_last, higher_is_better=False),
            Quantity(name="agreement", finish=mean_but_last),
            Quantity(name="probability", finish=last_cell),
            Quantity(name="reciprocal_rank", finish=last_cell),
            Quantity(name="settled", higher_is_better=False),
            *(Quantity(name=f"kl/{place}", higher_is_better=False) for place in self.places[:-1]),
        ]

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [
            "The head was trained for the last layer alone: what it cannot read in an early layer may well be there "
            "(Belrose et al. 2023). Numbers of one layer are to be compared with those of the same model's others."
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read `subject.rows` rows at a time."""
        self.rows.check(subject)
        model = model_of(subject)
        for start in range(0, len(items), subject.rows):
            some = items[start : start + subject.rows]
            with evaluating(model), torch.inference_mode():
                numbers = self._numbers(model, some)
            for row, item in enumerate(some):
                yield Outcome(item, _statistics(numbers, self.places, row), self._record(numbers, row, item))

    def _numbers(self, model: LanguageModel, items: Sequence[int]) -> LensNumbers:
        rows, names = self.rows.read(items).to(model.device), lens_points(model)
        with record(model, names) as found:
            read(model, rows)
        return lens(model, [found[name] for name in names], rows.labels)

    def _record(self, numbers: LensNumbers, row: int, item: int) -> dict[str, Any]:
        """Return the text, and the likeliest next token at its last place after each layer."""
        last = int(numbers.asked[row].nonzero().max()) if numbers.asked[row].any() else 0
        tokens = [self.rows.text.tokenizer.decode([int(id_)]) for id_ in numbers.top[:, row, last]]
        said = [f"{place}: {token!r}" for place, token in zip(self.places, tokens)]
        return {"text": self.rows.shown(item), "likeliest token after its end": said}

    def tables(self, measured: Measured) -> list[Table]:
        """Return what each layer says, a row for each."""
        losses = cells_with_intervals(measured, "loss", range(len(self.places)))
        others = [cells_of(measured, name) for name in ("kl", "agreement", "probability", "reciprocal_rank")]
        rows = [
            [place, loss.value, loss.low, loss.high, *(float(values[number]) for values in others)]
            for number, (place, loss) in enumerate(zip(self.places, losses))
        ]
        columns = [
            "after block",
            "loss (nats)",
            "low",
            "high",
            "KL to output (nats)",
            "agreement",
            "p(true)",
            "1 / rank",
        ]
        return [Table(title="What each layer would predict", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw loss and KL, and agreement, over the layers."""
        left, right = figure.subplots(1, 2)
        nats = {"loss": cells_of(measured, "loss"), "KL to the output": cells_of(measured, "kl")}
        curves(left, self.places, {name: list(values) for name, values in nats.items()}, "Logit lens", "nats per token")
        shares = {
            "agrees with the output": list(cells_of(measured, "agreement")),
            "p(true next token)": list(cells_of(measured, "probability")),
            "1 / rank of it": list(cells_of(measured, "reciprocal_rank")),
        }
        curves(right, self.places, shares, "After each block", "mean over tokens")
        right.set_ylim(-0.02, 1.02)
        for axes in (left, right):
            axes.set_xlabel("block")
        return True


def _statistics(numbers: LensNumbers, places: Sequence[str], row: int) -> Mapping[str, Sequence[float]]:
    """Return the sums over the tokens of a row."""
    asked = numbers.asked[row]
    count = int(asked.sum())
    by_place = {
        "loss": numbers.nats[:, row],
        "kl": numbers.kl[:, row],
        "agreement": numbers.agrees[:, row],
        "probability": torch.exp(-numbers.nats[:, row]) * asked,
        "reciprocal_rank": numbers.rank[:, row].clamp(min=1).reciprocal() * asked,
    }
    cells = {name: row_of(values.double().sum(dim=-1).cpu().numpy(), count) for name, values in by_place.items()}
    by_block = {f"kl/{place}": [cells["kl"][number], float(count)] for number, place in enumerate(places[:-1])}
    return {**cells, **by_block, "settled": [float(numbers.settled[row].double().sum()), float(count)]}
