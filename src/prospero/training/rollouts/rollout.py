"""What was drawn for one or several steps, as tensors: rows in the order of their prompts, a group after the other.

Shapes: R rows, T time; P prompts a step, G rows of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prospero.batch import IGNORE_INDEX, Batch


@dataclass(slots=True, kw_only=True)
class Rollout:
    """Rows of several steps; every rank holds them all."""

    first_step: int
    steps: int
    input_ids: Tensor
    """int64 [R, T]; filled up with separators."""
    labels: Tensor
    """int64 [R, T]; the completion alone."""
    facts: dict[str, Tensor]
    """[R, T] each."""
    numbers: dict[str, float]
    """What is logged of it."""

    @property
    def rows_per_step(self) -> int:
        """P x G."""
        return len(self.labels) // self.steps

    def rows(self, step: int, first: float, last: float) -> slice:
        """Return the rows of a part of a step, from the shares `first` to `last` of it."""
        n = self.rows_per_step
        start = (step - self.first_step) * n
        return slice(start + round(first * n), start + round(last * n))

    def batch(self, step: int, rows: slice, *, prompts: int) -> Batch:
        """Return some rows of a step as a micro-batch; `prompts` are those of the whole step."""
        whole = self.labels[self.rows(step, 0, 1)]
        return Batch(
            inputs={"input_ids": self.input_ids[rows]},
            labels=self.labels[rows],
            facts={name: fact[rows] for name, fact in self.facts.items()},
            sequences=prompts,
            tokens=whole.numel(),
            target_tokens=int((whole != IGNORE_INDEX).sum()),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all of it."""
        tensors = {"input_ids": self.input_ids, "labels": self.labels, "facts": self.facts}
        return {"first_step": self.first_step, "steps": self.steps, "numbers": self.numbers, **tensors}

    @staticmethod
    def of(state: Mapping[str, Any]) -> "Rollout":
        """Return what `state_dict` was called on."""
        return Rollout(**{**state, "facts": dict(state["facts"]), "numbers": dict(state["numbers"])})


def laid_out(texts: Sequence[tuple[Sequence[int], Sequence[int]]], fill: int) -> tuple[Tensor, Tensor]:
    """Return input_ids and labels, int64 [R, T], of (prompt, completion) pairs; `fill` stands in the gaps."""
    length = max(len(prompt) + len(completion) - 1 for prompt, completion in texts)
    input_ids = torch.full((len(texts), length), fill)
    labels = torch.full((len(texts), length), IGNORE_INDEX)
    for row, (prompt, completion) in enumerate(texts):
        ids = torch.tensor([*prompt, *completion])
        input_ids[row, : len(ids) - 1] = ids[:-1]
        labels[row, len(prompt) - 1 : len(ids) - 1] = ids[len(prompt) :]
    return input_ids, labels
