"""What all metrics of written text share: a few sums for each sample, added up over samples and ranks."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from prospero.evaluation.measurement import Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSample:
    """One prompt, what was written, and what might have been."""

    predictions: list[str]
    """The texts written for the prompt, at least one."""
    references: list[str] = field(default_factory=list)
    """Right answers, any of which will do."""
    source: str = ""
    """The text that the prompt was made of."""
    passed: list[bool] | None = None
    """Whether each prediction passed its checks, where they were run."""

    @property
    def prediction(self) -> str:
        """The first prediction: what metrics of one text score."""
        return self.predictions[0]


class TextMetric(Metric):
    """A metric of texts: implement `statistics` and `finish`, and give `quantities` their names.

    `statistics` gives each sample its sufficient statistics, float64 [n, S]; they add up over samples, so that neither
    batches nor ranks change the result, and an interval is drawn from rows. `finish` makes numbers of sums.
    """

    higher_is_better: bool = True
    is_differentiable = False
    full_state_update = False
    n_statistics: int = 2
    """S."""
    name: str
    """By which it is published."""
    parts: tuple[str, ...] = ()
    """The names of its numbers where it has several (rouge: 1, 2, l); published as `<name>_<part>`."""
    needs_references: bool = False
    """Whether samples without a reference cannot be scored."""
    reads_all_predictions: bool = False
    """Whether it reads all predictions of a sample rather than the first."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(self.n_statistics, dtype=torch.float64), dist_reduce_fx="sum")

    @abstractmethod
    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return the statistics of each sample, float64 [n, S]; they do not depend on the samples beside it."""

    @abstractmethod
    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return the values of sums [..., S]: [...], or with `parts` [..., parts]; NaN where nothing was measured."""

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers that it yields, each a function of the same sums."""
        if not self.parts:
            return [Quantity(name=self.name, finish=self.finish, higher_is_better=self.higher_is_better)]
        return [
            Quantity(
                name=f"{self.name}_{part}",
                finish=lambda sums, place=place: self.finish(sums)[..., place],
                higher_is_better=self.higher_is_better,
            )
            for place, part in enumerate(self.parts)
        ]

    def update(self, samples: Sequence[TextSample]) -> None:
        """Take samples in."""
        if samples:
            rows = np.asarray(self.statistics(samples), dtype=np.float64)
            sums = cast(Tensor, self.sums)
            sums += torch.from_numpy(rows.sum(axis=0)).to(sums)

    def compute(self) -> "Tensor | dict[str, Tensor]":
        """Return the number, or the numbers by name, over all samples of all ranks."""
        sums = cast(Tensor, self.sums).cpu().numpy()
        found = {
            quantity.name: torch.tensor(float(quantity.finish(sums)), dtype=torch.float64)
            for quantity in self.quantities
        }
        return found if self.parts else found[self.name]

    def __hash__(self) -> int:
        """Tell metrics apart as objects: torchmetrics hashes the states, which change."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other
