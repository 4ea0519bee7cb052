"""Metrics of tokens, item by item: the running sums of one item are its statistics.

A `TokenMetric` keeps sums and computes a number of them. Here its sums are taken after each item, so that the number
can be made of any items' sums: those of all, of one alone, of a resample.

Shapes: n items, S statistics of a quantity, P parts of a metric.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.measurement import Quantity
from prospero.evaluation.metrics.base import SUM_DTYPE, TokenMetric
from prospero.objective.terms import MeasuredTokens

_PROBED = 3
"""Rows of which a number is made one by one, to see that it may be made of all rows at a time."""


class PerItem:
    """A metric of tokens called `name`, as quantities of summed statistics."""

    def __init__(self, name: str, metric: TokenMetric) -> None:
        self.name, self.metric = name, metric
        self.shapes = {state: tensor.shape for state, tensor in self._state().items()}
        self.by_part = bool(metric.parts) and all(shape == (len(metric.parts),) for shape in self.shapes.values())
        """Whether each part has sums of its own, which then are all that it is given."""

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers of the metric; several are called `<name>/<part>`."""
        better = self.metric.higher_is_better
        if not self.metric.parts:
            return [Quantity(name=self.name, finish=lambda sums: self._finish(sums, None), higher_is_better=better)]
        return [
            Quantity(
                name=f"{self.name}/{part}",
                finish=lambda sums, part=part: self._finish(sums, part),
                higher_is_better=better,
            )
            for part in self.metric.parts
        ]

    def statistics(self, scores: MeasuredTokens, batch: Batch) -> Iterator[tuple[str, list[float]]]:
        """Yield (quantity, its statistics) of the one item whose scores these are."""
        self.metric.reset()
        self.metric.update(scores, batch)
        state = {name: value.double() for name, value in self._state().items()}
        if not self.by_part:
            row = [number for value in state.values() for number in value.flatten().tolist()]
            yield from ((quantity.name, row) for quantity in self.quantities)
            return
        for place, part in enumerate(self.metric.parts):
            yield f"{self.name}/{part}", [float(value[place]) for value in state.values()]

    def _state(self) -> dict[str, Tensor]:
        return {name: torch.as_tensor(value) for name, value in self.metric.metric_state.items()}

    def _finish(self, sums: np.ndarray, part: str | None) -> np.ndarray:
        """Return the number [...] of sums [..., S]."""
        rows = np.asarray(sums, dtype=np.float64).reshape(-1, np.shape(sums)[-1])
        if len(rows) > _PROBED and all(shape == () for shape in self.shapes.values()):
            together = self._of_all(rows, part)
            if together is not None:
                return together.reshape(np.shape(sums)[:-1])
        return np.array([self._of_one(row, part) for row in rows]).reshape(np.shape(sums)[:-1])

    def _of_one(self, row: np.ndarray, part: str | None) -> float:
        state, place = {}, 0
        for name, shape in self.shapes.items():
            size = 1 if self.by_part else int(np.prod(shape))
            numbers = torch.tensor(row[place : place + size], dtype=SUM_DTYPE)
            state[name] = numbers.expand(shape) if self.by_part else numbers.reshape(shape)
            place += size
        return float(self._computed(state, part))

    def _of_all(self, rows: np.ndarray, part: str | None) -> np.ndarray | None:
        """Return the numbers of all rows by one call where the formula works row by row; None where it does not."""
        columns = torch.tensor(rows.T, dtype=SUM_DTYPE)
        found = self._computed(dict(zip(self.shapes, columns)), part)
        if found.shape != (len(rows),):
            return None
        numbers = found.double().numpy()
        probed = np.linspace(0, len(rows) - 1, _PROBED).astype(int)
        alone = [self._of_one(rows[place], part) for place in probed]
        return numbers if np.array_equal(numbers[probed], alone, equal_nan=True) else None

    def _computed(self, state: dict[str, Tensor], part: str | None) -> Tensor:
        for name, value in state.items():
            setattr(self.metric, name, value)
        # The class's own function: torchmetrics wraps that of the object, which would look for other ranks.
        value: Any = type(self.metric).compute(self.metric)
        return value if part is None else value[part]


def one_row(scores: MeasuredTokens, row: int) -> MeasuredTokens:
    """Return the scores of row `row` alone, [1, T]."""
    some: Sequence[Tensor | None] = (scores.predicted, scores.entropy, scores.logits)
    predicted, entropy, logits = (None if value is None else value[row : row + 1] for value in some)
    mask, nats, loss = (value[row : row + 1] for value in (scores.mask, scores.nats, scores.loss))
    return MeasuredTokens(mask, nats, loss, predicted, entropy, logits)
