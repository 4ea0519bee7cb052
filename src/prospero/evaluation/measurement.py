"""What a measurement is: items, an outcome for each, and numbers that are sums over outcomes.

A task (summarising, choosing, code), and every probe of a model, is a `Measurement`. It has items, known before
anything is computed; `outcomes` makes one outcome for each, and an outcome holds what the quantities need of it: their
sufficient statistics, a few numbers each. A quantity is a function of the sum of its statistics. So items may be shared
among processes, a job that was killed goes on with the items it lacks, and an interval is a matter of drawing rows.

Shapes: n items, S statistics of a quantity.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.generation.decoder import Decoder
from prospero.model.base import LanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model that is measured."""

    decoder: Decoder
    """What reads and writes with it; inside a sharded run every rank makes the same calls."""
    tokenizer: Tokenizer
    name: str
    """How reports call it."""
    rows: int = 16
    """Texts written side by side; results do not depend on it."""
    model: LanguageModel | None = None
    """The network itself, in evaluation mode, for what looks inside; None for one that cannot be opened (ONNX)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item."""

    item: int
    """Its number among the measurement's items."""
    statistics: Mapping[str, Sequence[float]]
    """Quantity -> its S sufficient statistics of this item."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """What a reader wants to see of it, as plain values: prompt, prediction, references, why it failed."""


def mean(sums: np.ndarray) -> np.ndarray:
    """Return sum / count [...] of sums [..., 2]; NaN where nothing was counted."""
    return ratio(sums)


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return the first of sums [..., 2] by the second; NaN where the second is 0."""
    above, below = sums[..., 0], sums[..., 1]
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number that a measurement yields: a function of summed statistics."""

    name: str
    finish: Callable[[np.ndarray], np.ndarray] = mean
    """float64 sums [..., S] -> values [...]; NaN where nothing was measured."""
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Numbers that a reader wants to see side by side."""

    columns: Sequence[str]
    """Their headings."""
    rows: Mapping[str, Sequence[str]]
    """What a row is about -> the quantity in each column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a reader wants to see besides the numbers, row by row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]


class Measurement(ABC):
    """Items, and what a model makes of them."""

    name: str
    """By which its numbers are published: `<name>/<quantity>`."""
    needs_model: bool = False
    """Whether it looks inside the network (`Subject.model`), not at what it writes and scores alone."""
    judged: bool = True
    """Whether a model is better or worse by its numbers; what describes a model is neither."""
    one_process: bool = False
    """Whether it cannot be done of a model that is spread over processes."""
    reads_retrieval: bool = False
    """Whether a retrieval puts facts before its prompts."""

    @property
    @abstractmethod
    def quantities(self) -> list[Quantity]:
        """What is measured, known beforehand: `monitor=val/<name>/<quantity>` is checked against it."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many items there are."""

    @abstractmethod
    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Yield an outcome for each number in `items`, each once, in any order; it depends on (subject, item) alone."""

    @property
    def grids(self) -> list[Grid]:
        """How the screen shows its numbers; without any, one below the other."""
        return []

    @property
    def facts(self) -> dict[str, Any]:
        """What it was measured with, as plain values: settings, fingerprint of the data."""
        return {}

    def item_text(self, record: Mapping[str, Any]) -> str:
        """Return what an item says, question and right answer, by the record of its outcome.

        It is looked for in the training text (contamination.py); an empty text is not.
        """
        if record.get("facts"):  # a retrieval has put some of that text before the prompt
            return ""
        answers = record.get("references") or [""]
        return str(record.get("text") or f"{record.get('prompt', '')}{answers[0]}")

    @property
    def caveats(self) -> list[str]:
        """What its numbers cannot say; a sentence each, shown beside them."""
        return []

    def tables(self, measured: "Measured") -> list[Table]:
        """Return what is shown besides the numbers."""
        return []

    def draw(self, measured: "Measured", figure: Any) -> bool:
        """Draw the outcome on an empty Matplotlib figure; False where there is no picture."""
        return False

    def leave(self, folder: Path) -> None:
        """Write what is worth keeping besides numbers (weights that were fitted) into `folder`, after the outcomes."""
        return

    def __call__(self, subject: Subject) -> "Measured":
        """Measure all items, in this process."""
        return Measured(self, sorted(self.outcomes(subject, range(self.size)), key=lambda outcome: outcome.item))


class Measured:
    """The outcomes of a measurement, by item, and its numbers."""

    def __init__(self, measurement: Measurement, outcomes: Sequence[Outcome]) -> None:
        self.measurement = measurement
        self.name, self.facts, self.grids = measurement.name, measurement.facts, measurement.grids
        self.quantities = {quantity.name: quantity for quantity in measurement.quantities}
        self.outcomes = list(outcomes)

    def statistics(self, quantity: str) -> np.ndarray:
        """Return the statistics [n, S] of a quantity, a row for each item; ConfigError when it is not measured."""
        if quantity not in self.quantities:
            raise ConfigError(f"{self.name} does not measure '{quantity}'; it measures {', '.join(self.quantities)}")
        rows = [outcome.statistics[quantity] for outcome in self.outcomes]
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)

    def value(self, quantity: str) -> float:
        """Return the number over all items; NaN where nothing was measured."""
        rows = self.statistics(quantity)
        return float(self.quantities[quantity].finish(rows.sum(axis=0))) if len(rows) else float("nan")

    def values(self) -> dict[str, float]:
        """Return every number, by `<measurement>/<quantity>`."""
        return {f"{self.name}/{quantity}": self.value(quantity) for quantity in self.quantities}

    def scores(self, quantity: str) -> np.ndarray:
        """Return the number of each item alone [n]; NaN where an item has none."""
        rows = self.statistics(quantity)
        return self.quantities[quantity].finish(rows) if len(rows) else np.zeros(0)
