"""A measurement whose numbers are known beforehand, and a model that nobody asks anything."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject

NOBODY = Subject(decoder=cast(Any, None), tokenizer=cast(Any, None), name="nobody", rows=4)


class Halves(Measurement):
    """Item i has the score i / 2; asks and rows are remembered in `asked`."""

    def __init__(self, name: str = "halves", size: int = 10, *, worse_at: int | None = None) -> None:
        self.name, self.items = name, size
        self.worse_at = worse_at
        """An item that ends the process's work, as a kill does."""
        self.asked: list[list[int]] = []

    @property
    def quantities(self) -> list[Quantity]:
        """A mean, and its double."""
        return [
            Quantity(name="half"),
            Quantity(name="whole", finish=lambda sums: 2 * sums[..., 0] / sums[..., 1], higher_is_better=False),
        ]

    @property
    def size(self) -> int:
        """How many items there are."""
        return self.items

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Yield them the other way round, as a running batch may."""
        self.asked.append(list(items))
        for item in reversed(items):
            if item == self.worse_at:
                raise KeyboardInterrupt
            row = (item / 2, 1)
            yield Outcome(item, {"half": row, "whole": row}, {"prompt": f"<b>{item}</b>", "é": ["x", "y"]})
