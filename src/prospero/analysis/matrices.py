"""Matrices: how long the weights of each block are, how many directions they use, how evenly they are spread.

The numbers are those of `dynamics/matrices.py`, for each block over its matrices, and for the whole model over all of
them; OV and QK are the circuits of its heads. In training they become curves. A parameter that is spread over processes
is gathered, one at a time.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from prospero.analysis.base import Analysis, model_of, whole
from prospero.analysis.dynamics.matrices import MatrixNumbers, matrix_numbers
from prospero.analysis.dynamics.weights import attention_places, matrices_of, place_of
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.model.base import LanguageModel


@dataclass(frozen=True, slots=True)
class _Found:
    """One matrix, or one circuit of a head."""

    name: str
    layer: int | None
    shape: tuple[int, int]
    most_rank: int
    numbers: MatrixNumbers


def _norm(found: Sequence[_Found]) -> float:
    return math.sqrt(sum(one.numbers.frobenius_norm**2 for one in found))


def _mean(value: Callable[[_Found], float]) -> Callable[[Sequence[_Found]], float]:
    def mean(found: Sequence[_Found]) -> float:
        values = [value(one) for one in found]
        known = [one for one in values if math.isfinite(one)]
        return sum(known) / len(known) if known else math.nan

    return mean


def _rank_share(one: _Found) -> float:
    return one.numbers.effective_rank / one.most_rank


NUMBERS: Mapping[str, Callable[[Sequence[_Found]], float]] = {
    "norm": _norm,
    "effective_rank": _mean(_rank_share),
    "log10_condition_number": _mean(lambda one: math.log10(one.numbers.condition_number)),
    "gini": _mean(lambda one: one.numbers.gini),
    "hoyer": _mean(lambda one: one.numbers.hoyer),
}
"""Of several matrices: the norm of all their entries; the mean of each other number, those left out that are infinite.

The effective rank is the share of what it can be at most."""
CIRCUITS = ("ov_effective_rank", "qk_effective_rank")


@dataclass(kw_only=True, slots=True)
class MatricesConfig:
    """Norm, effective rank, condition number and sparsity of the weights by block; rank of the heads' circuits."""

    circuits: bool = True
    """Look at OV and QK of every head too."""

    def build(self, name: str, facts: AnalysisFacts) -> "Matrices":
        """Return the analysis; it reads no text."""
        return Matrices(name, facts.n_layers, circuits=self.circuits and facts.n_heads is not None)


class Matrices(Analysis):
    """See the head of this file."""

    def __init__(self, name: str, n_layers: int, *, circuits: bool) -> None:
        super().__init__(name)
        self.n_layers, self.circuits = n_layers, circuits

    @property
    def size(self) -> int:
        """One: the weights are what they are, and are not drawn."""
        return 1

    @property
    def quantities(self) -> list[Quantity]:
        """Each number of the model, then of each block."""
        names = [*NUMBERS, *(CIRCUITS if self.circuits else ())]
        everywhere = [*names, *(f"{name}/{layer}" for name in names for layer in range(self.n_layers))]
        return [Quantity(name=name, higher_is_better=name.startswith("effective_rank")) for name in everywhere]

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            "A falling effective rank means that training writes into fewer directions, not that this is good or bad.",
            "Gains and biases are left out; QK is taken before rotary positions and norms of queries and keys.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Yield all numbers as one outcome, and every matrix in its record."""
        model = model_of(subject)
        for item in items:
            matrices, heads = list(_matrices(model)), list(_heads(model)) if self.circuits else []
            values = self._values(matrices, heads)
            statistics = {q.name: _statistics(values.get(q.name, math.nan)) for q in self.quantities}
            rows = [_row(one) for one in (*matrices, *heads)]
            yield Outcome(item, statistics, {"matrices": rows})

    def _values(self, matrices: Sequence[_Found], heads: Sequence[_Found]) -> dict[str, float]:
        values = {}
        for layer in (None, *range(self.n_layers)):
            behind = "" if layer is None else f"/{layer}"
            here = [one for one in matrices if layer in (None, one.layer)]
            values |= {f"{name}{behind}": number(here) for name, number in NUMBERS.items()}
            for circuit in CIRCUITS if heads else ():
                some = [one for one in heads if layer in (None, one.layer) and one.name.startswith(circuit[:2].upper())]
                values[f"{circuit}{behind}"] = _mean(_rank_share)(some)
        return values

    def tables(self, measured: Measured) -> list[Table]:
        """Every matrix."""
        columns = ("matrix", "rows x columns", "norm", "effective rank", "of at most", "condition", "Gini", "Hoyer")
        rows = [row for outcome in measured.outcomes for row in outcome.record["matrices"]]
        return [Table(title="Matrices of the weights, and circuits of the heads", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Each number by block."""
        names = [name for name in (*NUMBERS, CIRCUITS[0]) if name in measured.quantities]
        layers = list(range(self.n_layers))
        for number, name in enumerate(names):
            axes = figure.add_subplot(2, 3, number + 1)
            axes.plot(layers, [measured.value(f"{name}/{layer}") for layer in layers], marker="o", color="#4c78a8")
            if name == CIRCUITS[0]:
                values = [measured.value(f"{CIRCUITS[1]}/{layer}") for layer in layers]
                axes.plot(layers, values, marker="o", color="#e4572e")
                axes.legend(["OV", "QK"], frameon=False, fontsize=8)
            axes.set_title(name.removeprefix("ov_").replace("_", " "), loc="left", fontsize=9)
            axes.set_xlabel("block")
            axes.set_xticks(layers[:: max(1, self.n_layers // 12)])
        return True


def _matrices(model: LanguageModel) -> Iterator[_Found]:
    """Yield every matrix, gathered one after the other; a collective where they are spread."""
    for name, parameter in model.named_parameters():
        for matrix in matrices_of({name: whole(parameter)}).values() if parameter.dim() >= 2 else ():
            shape = matrix.shape[0], matrix.shape[1]
            yield _Found(name, place_of(name)[0], shape, min(shape), matrix_numbers(matrix.float()))


def _heads(model: LanguageModel) -> Iterator[_Found]:
    """Yield the circuits of every head, of a layer's four matrices at a time; a collective where they are spread."""
    parameters = dict(model.named_parameters())

    def read(name: str) -> Tensor:
        return whole(parameters[name]).float()

    for place in attention_places(model):
        heads = place.matrices(read)
        for of, head, circuit in heads.all():
            wide = heads.q.shape[1]
            name = f"{of} of {place.name}, head {head}"
            yield _Found(name, place.layer, (wide, wide), min(heads.head_dim, wide), circuit.numbers())


def _statistics(value: float) -> list[float]:
    return [value, 1.0] if math.isfinite(value) else [0.0, 0.0]


def _row(one: _Found) -> list[Any]:
    n = one.numbers
    values = (n.frobenius_norm, n.effective_rank, one.most_rank, n.condition_number, n.gini, n.hoyer)
    return [one.name, "{} x {}".format(*one.shape), *(value if math.isfinite(value) else None for value in values)]
