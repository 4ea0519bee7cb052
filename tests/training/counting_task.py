"""A task for tests, registered as a user's own would be: does the model count on, and how surprised is it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from prospero.evaluation.tasks.base import TaskFacts
from prospero.generation.generate import generate, score_ids
from prospero.generation.sampling import SamplingConfig
from prospero.registry import register


@dataclass(kw_only=True, slots=True)
class CountingConfig:
    """Lines of a text that counts, cut before their last characters."""

    items: int = 7
    """How many lines."""
    limit: int | None = None
    """How many of them are used."""
    new_tokens: int = 3
    """Length of a continuation."""

    def build(self, name: str, facts: TaskFacts) -> "Counting":
        limit = facts.limit if self.limit is None else self.limit
        return Counting(name, min(self.items, limit or self.items), self.new_tokens)


class Counting(Measurement):
    """Share of characters that are right, and nats per token of the whole line."""

    def __init__(self, name: str, items: int, new_tokens: int = 3) -> None:
        self.name, self.items, self.new_tokens = name, items, new_tokens
        self.asked: list[int] = []
        """Numbers of the items, as they were asked for."""

    @property
    def quantities(self) -> list[Quantity]:
        return [Quantity(name="right"), Quantity(name="nats", higher_is_better=False), Quantity(name="never")]

    @property
    def size(self) -> int:
        return self.items

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        self.asked += items
        prompts = [f"The {item}th line" for item in items]
        sampling = SamplingConfig(temperature=0, max_new_tokens=self.new_tokens)
        written = generate(subject.decoder, subject.tokenizer, prompts, sampling, batch_size=subject.rows)
        for item, prompt, completion in reversed(list(zip(items, prompts, written))):
            right = sum(a == b for a, b in zip(completion.text, " says"))
            ids = subject.tokenizer.encode(prompt)
            with subject.decoder.session():
                nats = -float(np.sum(score_ids(subject.decoder, ids)))
            yield Outcome(
                item,
                {"right": [right, self.new_tokens], "nats": [nats, len(ids) - 1], "never": [0, 0]},
                {"prompt": prompt, "prediction": completion.text, "references": [" says"]},
            )


register("tasks", "counting", CountingConfig)
