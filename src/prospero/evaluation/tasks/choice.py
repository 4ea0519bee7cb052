"""Tasks of choosing: of several ends of a text, which one does the model think likeliest?

Nothing is written; each candidate is scored after the same context (Brown et al. 2020; lm-evaluation-harness).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prospero.data.embedded.pairs import token_pairs
from prospero.data.records import Record, RecordsConfig, fingerprint
from prospero.data.template import Template
from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject, ratio
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.items import Embedded, check_limit, check_pattern, gather
from prospero.evaluation.tasks.likelihood import NATS_PER_BIT, endings, log_likelihoods, utf8_bytes
from prospero.plain import plain


@dataclass(kw_only=True, slots=True)
class ChoiceConfig:
    """Choose the likelier end of a text; without data: a line of Python, and the same with one token changed."""

    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the records are; left out, they are made of the standard library's sources."""
    template: str = "{context}"
    """What comes before the candidates: each {field} stands for that field of the record; may be empty."""
    choices: list[str] = field(default_factory=lambda: ["choices"])
    """The field that holds the list of candidates, or several fields that hold one each."""
    answer: str | None = "answer"
    """The field that says which is right: its number (from 0), its label, or its text; null: always the first."""
    labels: str | None = None
    """The field of the candidates' labels (A, B, ...), where `answer` gives one of them."""
    separator: str = ""
    """What stands between context and candidate; no part of it when it is empty."""
    replace: dict[str, str] = field(default_factory=dict)
    """Regular expression -> text that replaces its matches in context and candidates, in this order, after white space
    at their ends is taken off."""
    limit: int | None = None
    """Records that are used, drawn by the seed; null: as the command says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)
        Template(self.template, "template")
        if not self.choices:
            raise ConfigError("choices=[] names no field; name the one with the list of candidates, or one for each")
        for pattern in self.replace:
            check_pattern("replace", pattern)

    def build(self, name: str, facts: TaskFacts) -> "ChoiceTask":
        """Return the task with its records read."""
        more = [name for name in (self.answer, self.labels) if name is not None]
        wanted = [*Template(self.template, "template").fields, *self.choices, *more]
        embedded = Embedded(make=token_pairs, most=500)
        found = gather(name, self.data, wanted, self.limit, facts, embedded)
        return ChoiceTask(name, self, [self._item(record) for record in found.records], found.facts)

    def _item(self, record: Record) -> "ChoiceItem":
        template = Template(self.template, "template")
        context = self._tidy(template.fill({field: record.text(field) for field in template.fields}))
        texts = [text for field in self.choices for text in record.texts(field)]
        answer = 0 if self.answer is None else self._right(record, texts)
        choices = [self._tidy(text) for text in texts]
        if len(choices) < 2:
            raise DataError(f"{record.place} has {len(choices)} candidate; a choice needs two")
        if "" in choices:
            raise DataError(f"{record.place}: candidate {choices.index('')} is empty; its likelihood would be 1")
        return ChoiceItem(context=context, choices=choices, answer=answer)

    def _tidy(self, text: str) -> str:
        text = text.strip() if self.replace else text
        for pattern, by in self.replace.items():
            text = re.sub(pattern, by, text)
        return text

    def _right(self, record: Record, texts: Sequence[str]) -> int:
        assert self.answer is not None
        said = record.text(self.answer)
        names = record.texts(self.labels) if self.labels is not None else []
        if said in names:
            return names.index(said)
        if not names and said.isdecimal() and int(said) < len(texts):
            return int(said)
        if said in texts:
            return texts.index(said)
        allowed = names or [str(number) for number in range(len(texts))]
        raise DataError(
            f"{record.place}: field '{self.answer}' says '{said[:40]}', which is none of {', '.join(allowed)}"
            f"{suggest(said, allowed)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceItem:
    """A context, what may follow it, and which is right."""

    context: str
    choices: list[str]
    answer: int


class ChoiceTask(Measurement):
    """Scores each candidate; the likeliest is the model's choice."""

    def __init__(self, name: str, config: ChoiceConfig, items: "list[ChoiceItem]", origin: dict[str, Any]) -> None:
        self.name, self.config, self.items, self.origin = name, config, items, origin

    @property
    def quantities(self) -> list[Quantity]:
        """Accuracy by likelihood, by likelihood for each byte, and the bits per byte of the right answers."""
        return [
            Quantity(name="accuracy"),
            Quantity(name="accuracy_per_byte"),
            Quantity(name="bits_per_byte", finish=ratio, higher_is_better=False),
        ]

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self.items)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, what the items are, and the accuracy of a blind choice."""
        values = [[item.context, item.choices, item.answer] for item in self.items]
        chance = float(np.mean([1 / len(item.choices) for item in self.items]))
        known = {"settings": plain(self.config), "fingerprint": fingerprint(values), "chance": chance}
        return known | self.origin

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Score the candidates of `subject.rows` items at a time."""
        for start in range(0, len(items), subject.rows):
            numbers = items[start : start + subject.rows]
            asked = [endings(subject, self.items[number].context, self._ends(number)) for number in numbers]
            nats = iter(log_likelihoods(subject, [ending for ends in asked for ending in ends]))
            for number, ends in zip(numbers, asked):
                yield self._outcome(number, [next(nats) for _ in ends])

    def _ends(self, number: int) -> list[str]:
        return [self.config.separator + choice for choice in self.items[number].choices]

    def _outcome(self, number: int, nats: list[float]) -> Outcome:
        item, right = self.items[number], self.items[number].answer
        sizes = [utf8_bytes(end) for end in self._ends(number)]
        statistics = {
            "accuracy": [credit(nats, right), 1.0],
            "accuracy_per_byte": [credit([value / size for value, size in zip(nats, sizes)], right), 1.0],
            "bits_per_byte": [-nats[right] / NATS_PER_BIT, float(sizes[right])],
        }
        record = {"prompt": item.context, "choices": item.choices, "log_likelihoods": nats}
        record |= {"prediction": item.choices[int(np.argmax(nats))], "references": [item.choices[right]]}
        return Outcome(number, statistics, record)


def credit(scores: Sequence[float], right: int) -> float:
    """Return 1 where the right one is the best alone, 1 / k where k are equally good, else 0; NaN is never the best."""
    best = np.nanmax(scores) if not np.all(np.isnan(scores)) else np.nan
    tied = [place for place, score in enumerate(scores) if score == best]
    return 1 / len(tied) if right in tied else 0.0
