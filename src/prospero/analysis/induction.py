"""Induction: does the model copy what it has seen before, and which heads find it? See repeated_tokens.py.

Shapes: B rows, N heads, T places, L layers, P tokens of a period.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.base import Analysis, model_of
from prospero.analysis.cells import cells_of, cells_with_intervals, largest_cell, row_of
from prospero.analysis.pictures import heat_map
from prospero.analysis.reading import Rows, check_all_heads, predictions, read, read_attention, rows_at_once
from prospero.analysis.repeated_tokens import induction_score, prefix_matching, repeated_rows, uniform_induction
from prospero.analysis.text_rows import rows_wanted
from prospero.batch import IGNORE_INDEX
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel

PERIOD = 25
"""Tokens of a period where nobody says how many, as in Olsson et al."""
SHOWN_HEADS = 10
OF_HEADS = {"score": induction_score, "prefix_matching": prefix_matching}


@dataclass(kw_only=True, slots=True)
class InductionConfig:
    """Copying of repeated random tokens, and the heads that find the earlier occurrence."""

    period: int | None = None
    """Random tokens before they come again; null: 25, or what the model's sequences leave room for."""
    repeats: int = 4
    """How often they stand in a row."""
    limit: int | None = None
    """Rows; null: as the host says, else 32 (8 within a training)."""

    def __post_init__(self) -> None:
        if self.period is not None and self.period < 2:
            raise ConfigError(f"period={self.period} is impossible; choose at least 2")
        if self.repeats < 2:
            raise ConfigError(f"repeats={self.repeats} repeats nothing; choose at least 2")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} leaves nothing to look at; choose 1 or more, or null")

    def build(self, name: str, facts: AnalysisFacts) -> "Induction":
        """Return the analysis; ConfigError where the rows are longer than what the model is trained on."""
        most = PERIOD if facts.seq_len is None else (facts.seq_len - 1) // self.repeats
        period = self.period or min(PERIOD, most)
        if period < 2 or (facts.seq_len is not None and period > most):
            raise ConfigError(
                f"analyses.{name}: {self.repeats} times {max(period, 2)} tokens and one before them are longer than "
                f"the {facts.seq_len} that the model is trained on; choose a smaller period or fewer repeats"
            )
        shape = None if facts.n_heads is None else (facts.n_layers, facts.n_heads)
        made_of = RepeatedTokens(facts.tokenizer, period, self.repeats, facts.seed)
        return Induction(name, made_of, rows_wanted(self.limit, facts), shape)


class RepeatedTokens:
    """Rows of repeated random tokens of one tokenizer, each after the start of a document."""

    def __init__(self, tokenizer: Tokenizer, period: int, repeats: int, seed: int) -> None:
        self.tokenizer, self.period, self.repeats, self.seed = tokenizer, period, repeats, seed
        self.start = tokenizer.eot_id if tokenizer.bos_id is None else tokenizer.bos_id
        self.allowed = [id_ for id_, written in enumerate(tokenizer.bytes_of()) if written]

    @property
    def length(self) -> int:
        """Tokens of a row."""
        return self.period * self.repeats + 1

    @property
    def facts(self) -> dict[str, Any]:
        """What the rows are, and the score of a head that attends to all it sees alike."""
        return {
            "period": self.period,
            "repeats": self.repeats,
            "seed": self.seed,
            "tokens": len(self.allowed),
            "score_of_uniform_attention": uniform_induction(self.period),
        }

    def rows(self, items: Sequence[int]) -> Rows:
        """Return the rows of some items: the start of a document, then a period again and again."""
        repeated = repeated_rows(self.allowed, self.period, self.repeats, self.seed, items)
        ids = torch.cat((torch.full((len(items), 1), self.start), repeated), dim=1)
        labels = torch.cat((repeated, torch.full((len(items), 1), IGNORE_INDEX)), dim=1)
        return Rows(input_ids=ids, labels=labels, document_ids=torch.zeros_like(ids))


class Induction(Analysis):
    """Reads rows of repeated random tokens."""

    def __init__(self, name: str, made_of: "RepeatedTokens", size: int, shape: tuple[int, int] | None) -> None:
        super().__init__(name)
        self.made_of, self._size, self.shape = made_of, size, shape
        """What rows are made of; how many; layers and heads of each, None for a model without attention."""

    @property
    def quantities(self) -> list[Quantity]:
        """The best head's two scores; how often the repeated token is the likeliest, and what repetition is worth."""
        of_heads = [Quantity(name=name, finish=largest_cell) for name in OF_HEADS] if self.shape else []
        return [*of_heads, Quantity(name="accuracy"), Quantity(name="gain", finish=_gain)]

    @property
    def size(self) -> int:
        """How many rows are read."""
        return self._size

    @property
    def facts(self) -> dict[str, Any]:
        """What the rows are, and the score of a head that attends to all it sees alike."""
        return self.made_of.facts

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [
            "Random tokens show what a head can do, not how often it does so on text. The score of the best head is "
            "the largest of many and lies above that of a head chosen beforehand."
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read as many rows at a time as their weights leave room for."""
        model, length = model_of(subject), self.made_of.length
        window = subject.decoder.window
        if window is not None and length > window:
            raise ConfigError(f"analyses.{self.name}: rows of {length} tokens, and the model reads {window:,} at once")
        step = rows_at_once(model, length, subject.rows)
        for start in range(0, len(items), step):
            some = items[start : start + step]
            with evaluating(model), torch.inference_mode():
                found = self._measure(model, self.made_of.rows(some).to(model.device))
            for item, (statistics, record) in zip(some, found):
                yield Outcome(item, statistics, record)

    def _measure(self, model: LanguageModel, rows: Rows) -> list[tuple[Mapping[str, Sequence[float]], dict[str, Any]]]:
        weights = list[Tensor]()
        if self.shape is not None:
            hidden, weights = read_attention(model, rows)
            check_all_heads(weights[0].shape[1], self.shape[1], self.name)
        else:
            hidden = read(model, rows)
        nats, right = (x.double().cpu() for x in predictions(model, hidden, rows.labels))
        period, repeats = self.made_of.period, self.made_of.repeats
        # Place 0 predicts the first token of the first period, place P + 1 the second token of the second one: the
        # first that can be told, since place P does not know yet that the period comes again.
        first, again = slice(0, period), slice(period + 1, period * repeats)
        told, scores, found = nats[:, again], _by_head(weights, period), []
        for row in range(len(rows)):
            count = float(told.shape[1])
            gain = [float(nats[row, first].sum()), float(period), float(told[row].sum()), count]
            statistics: dict[str, Sequence[float]] = {"accuracy": [float(right[row, again].sum()), count], "gain": gain}
            statistics |= {name: row_of(values[row], 1) for name, values in scores.items()}
            shown = self.made_of.tokenizer.decode(rows.labels[row, :period].tolist())
            found.append((statistics, {"period": shown}))
        return found

    def tables(self, measured: Measured) -> list[Table]:
        """Return the heads with the highest scores; none for a model without attention."""
        if self.shape is None:
            return []
        heads = self.shape[1]
        scores, matching = cells_of(measured, "score"), cells_of(measured, "prefix_matching")
        best = [int(place) for place in np.argsort(-scores, kind="stable")[:SHOWN_HEADS]]
        rows = [
            [
                cell.place // heads,
                cell.place % heads,
                cell.value,
                cell.low,
                cell.high,
                float(matching[cell.place]),
            ]
            for cell in cells_with_intervals(measured, "score", best)
        ]
        columns = ["block", "head", "induction score", "low", "high", "prefix matching"]
        return [Table(title="Heads with the highest induction score", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw both scores of all heads; nothing for a model without attention."""
        if self.shape is None:
            return False
        titles = {"score": "induction score", "prefix_matching": "prefix matching"}
        for axes, (name, title) in zip(figure.subplots(1, 2), titles.items()):
            heat_map(figure, axes, cells_of(measured, name).reshape(self.shape), title, low=0.0, high=1.0)
        return True


def _gain(sums: np.ndarray) -> np.ndarray:
    """Return how many nats per token the repetition saves, of [nats at first, tokens, nats again, tokens]."""
    return sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]


def _by_head(weights: Sequence[Tensor], period: int) -> dict[str, np.ndarray]:
    """Return the scores of each head [B, L, N]; nothing without heads. The start of the row is no key."""
    inner = [layer[..., 1:, 1:] for layer in weights]
    return {
        name: torch.stack([score(layer, period) for layer in inner], dim=1).cpu().numpy()
        for name, score in (OF_HEADS.items() if inner else ())
    }
