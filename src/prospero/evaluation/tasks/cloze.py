"""Tasks of the last word: does the model write it, and how likely does it think it (LAMBADA, Paperno et al. 2016)?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prospero.data.embedded.prose import sentences
from prospero.data.records import Record, RecordsConfig, fingerprint
from prospero.errors import DataError
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject, mean, ratio
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.items import Embedded, check_limit, gather
from prospero.evaluation.tasks.likelihood import NATS_PER_BIT, Ending, endings, log_likelihoods, utf8_bytes
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context
from prospero.plain import plain


@dataclass(kw_only=True, slots=True)
class ClozeConfig:
    """Find the last word of a text; without data: sentences of Python's documentation."""

    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the records are; left out, they are made of the standard library's documentation."""
    text: str = "text"
    """The field of the text, whose last word is asked for."""
    limit: int | None = None
    """Records that are used, drawn by the seed; null: as the command says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)

    def build(self, name: str, facts: TaskFacts) -> "ClozeTask":
        """Return the task with its records read; its embedded records are {text, file}."""
        embedded = Embedded(make=sentences, most=500)
        found = gather(name, self.data, [self.text], self.limit, facts, embedded)
        return ClozeTask(name, self, [_parts(record, self.text) for record in found.records], found.facts)


def _parts(record: Record, field: str) -> tuple[str, str]:
    """Return the text before its last word, and the last word with the white space before it."""
    text = record.text(field).strip()
    if not text:
        raise DataError(f"{record.place}: field '{field}' is empty; a text has a last word")
    before = text[: len(text) - len(text.split()[-1])].rstrip()
    return before, text[len(before) :]


class ClozeTask(Measurement):
    """Scores the last word, and writes as many tokens as it has."""

    def __init__(
        self, name: str, config: ClozeConfig, items: Sequence[tuple[str, str]], origin: dict[str, Any]
    ) -> None:
        self.name, self.config, self.items, self.origin = name, config, list(items), origin

    @property
    def quantities(self) -> list[Quantity]:
        """How often the likeliest tokens are the word; its perplexity as a whole; its bits per byte."""
        return [
            Quantity(name="accuracy"),
            Quantity(name="perplexity", finish=lambda sums: np.exp(mean(sums)), higher_is_better=False),
            Quantity(name="bits_per_byte", finish=ratio, higher_is_better=False),
        ]

    @property
    def size(self) -> int:
        """How many texts there are."""
        return len(self.items)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, and what the items are."""
        known = {"settings": plain(self.config), "fingerprint": fingerprint([list(item) for item in self.items])}
        return known | self.origin

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Go through the texts, `subject.rows` at a time."""
        for start in range(0, len(items), subject.rows):
            numbers = items[start : start + subject.rows]
            asked = {number: endings(subject, self.items[number][0], [self.items[number][1]])[0] for number in numbers}
            written = greedy(subject, list(asked.values()))
            likelihoods = log_likelihoods(subject, list(asked.values()))
            for (number, ending), ids, likelihood in zip(asked.items(), written, likelihoods):
                (before, word), nats = self.items[number], -likelihood
                statistics = {
                    "accuracy": [float(ids == ending.after), 1.0],
                    "perplexity": [nats, 1.0],
                    "bits_per_byte": [nats / NATS_PER_BIT, float(utf8_bytes(word))],
                }
                record = {"prompt": before, "prediction": subject.tokenizer.decode(ids), "references": [word]}
                yield Outcome(number, statistics, record)


def greedy(subject: Subject, asked: Sequence[Ending]) -> list[list[int]]:
    """Return the likeliest next tokens after the beginning of each, as many as its end has."""
    engine = Engine(subject.decoder, subject.tokenizer, max_rows=subject.rows, context=Context.slide)
    window = subject.decoder.window
    found: dict[int, list[int]] = {}
    with subject.decoder.session():
        handles = []
        for ending in asked:
            sampling = SamplingConfig(temperature=0.0, max_new_tokens=len(ending.after))
            room = len(ending.before) if window is None else max(1, window - len(ending.after))
            handles.append(engine.add(ending.before[-room:], sampling))
        while not engine.idle:
            found |= {event.row: event.completion.ids for event in engine.step() if event.completion is not None}
    return [found[handle] for handle in handles]
