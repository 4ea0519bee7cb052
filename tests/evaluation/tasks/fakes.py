"""A model that one can compute by hand, and a metric that counts."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.measurement import Subject
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.evaluation.tasks.base import TaskFacts

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
END = "\n\n\n"
"""Stands for the separator in a table."""


class BigramDecoder:
    """The next byte depends on the last one alone: `table[last][next]` is its probability.

    What a row leaves over is shared out among all other bytes; a row that is not there is uniform.
    """

    def __init__(self, table: Mapping[str, Mapping[str, float]], window: int | None = None) -> None:
        self.window = window
        self.last: list[int] = []
        size = TOKENIZER.vocab_size
        probabilities = torch.full((size, size), 1 / size, dtype=torch.float64)
        for before, row in table.items():
            left = (1 - sum(row.values())) / (size - len(row))
            probabilities[_id(before)] = left
            for after, share in row.items():
                probabilities[_id(before), _id(after)] = share
        self.log_probabilities = probabilities.log()  # [V, V]
        self.longest = 0
        """Tokens of the longest row it was ever given."""
        self.passes = 0
        """How often it was asked about whole rows."""

    @property
    def rows(self) -> int:
        return len(self.last)

    def add(self, prompts: Sequence[Sequence[int]], copies: Sequence[int]) -> Tensor:
        self._check(*prompts)
        new = [prompts[copy][-1] for copy in copies]
        self.last += new
        return self.log_probabilities[torch.tensor(new)].float()

    def step(self, tokens: Tensor) -> Tensor:
        self.last = tokens.tolist()
        return self.log_probabilities[tokens].float()

    def select(self, rows: Sequence[int]) -> None:
        self.last = [self.last[row] for row in rows]

    def scores(self, ids: Sequence[int]) -> Tensor:
        self._check(ids)
        self.passes += 1
        row = torch.tensor(list(ids))
        return self.log_probabilities[row[:-1], row[1:]]

    def hidden(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        self._check(*input_ids.tolist())
        self.passes += 1
        return self.log_probabilities[input_ids]

    def project(self, hidden: Tensor) -> Tensor:
        return hidden

    def session(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def _check(self, *rows: Sequence[int]) -> None:
        self.longest = max(self.longest, *map(len, rows))
        assert self.window is None or self.longest <= self.window


def _id(character: str) -> int:
    return TOKENIZER.eot_id if character == END else TOKENIZER.encode(character)[0]


def subject(table: Mapping[str, Mapping[str, float]], window: int | None = None, rows: int = 4) -> Subject:
    return Subject(decoder=BigramDecoder(table, window), tokenizer=TOKENIZER, name="bigram", rows=rows)


class Equal(TextMetric):
    """Exact match with any reference, by a metric of our own: the metrics of the room have tests of theirs."""

    name = "equal"
    needs_references = True

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        return np.array([[sample.prediction in sample.references, 1.0] for sample in samples], dtype=np.float64)

    def finish(self, sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / sums[..., 1]


class Sizes(TextMetric):
    """Characters of the first text and of all texts: a metric of two numbers that needs no references."""

    name = "sizes"
    parts = ("first", "all")
    n_statistics = 3

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        rows = [[len(one.prediction), sum(map(len, one.predictions)), 1.0] for one in samples]
        return np.array(rows, dtype=np.float64)

    def finish(self, sums: np.ndarray) -> np.ndarray:
        return sums[..., :2] / sums[..., 2:]


def facts(**settings: Any) -> TaskFacts:
    return TaskFacts(metrics={"equal": Equal(), "sizes": Sizes()}, **settings)


def bits(*probabilities: float) -> float:
    return -sum(map(math.log2, probabilities))
