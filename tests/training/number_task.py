"""Tasks for these tests: what the model of tests.training.tiny's data says next, and numbers that a test gives."""

from collections.abc import Iterator, Sequence

from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from tests.training.tiny import sequence

PROMPT = 3
"""Tokens of a sequence that are given."""


class NextNumber(Measurement):
    """Share of right next tokens, nats per token, and a quantity of which nothing is measured."""

    def __init__(self, size: int = 7, name: str = "next_number") -> None:
        self.name, self._size = name, size
        self.asked: list[int] = []
        """The items in the order in which they were asked for."""

    @property
    def quantities(self) -> list[Quantity]:
        return [Quantity(name="right"), Quantity(name="nats", higher_is_better=False), Quantity(name="never")]

    @property
    def size(self) -> int:
        return self._size

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        self.asked += items
        for item in reversed(items):
            ids = sequence(item)[0].tolist()
            with subject.decoder.session():
                nats = -float(subject.decoder.scores(ids).double().sum())
                said = int(subject.decoder.add([ids[:PROMPT]], [0]).argmax())
                subject.decoder.select([])
            statistics = {"right": [said == ids[PROMPT], 1], "nats": [nats, len(ids) - 1], "never": [0, 0]}
            yield Outcome(item, statistics, {"prompt": str(ids[:PROMPT]), "prediction": f"{said}\n", "references": [1]})


class Given(Measurement):
    """One item, whose number is the next of those given."""

    def __init__(self, values: Sequence[float], *, higher_is_better: bool = True) -> None:
        self.name, self.values, self.higher_is_better = "given", iter(values), higher_is_better

    @property
    def quantities(self) -> list[Quantity]:
        return [Quantity(name="value", higher_is_better=self.higher_is_better)]

    @property
    def size(self) -> int:
        return 1

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        for item in items:
            yield Outcome(item, {"value": [next(self.values), 1]})
