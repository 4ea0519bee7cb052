"""Tasks of writing: a prompt is made of a record, the model continues it, metrics compare that with references.

Summaries, answers, dialogue and stories are all this; what differs is data, template, decoding and metrics.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prospero.data.records import RecordsConfig, fingerprint
from prospero.data.template import Template
from prospero.errors import ConfigError
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject, ratio
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.evaluation.tasks.answers import answers
from prospero.evaluation.tasks.base import TaskFacts, text_metrics
from prospero.evaluation.tasks.items import Gathered, check_limit, check_pattern, gather
from prospero.evaluation.tasks.likelihood import bits_and_bytes
from prospero.evaluation.tasks.prompt import Keep, Prompt, Room, fitted
from prospero.generation.sampling import SamplingConfig
from prospero.plain import plain

BITS = "bits_per_byte"


@dataclass(kw_only=True, slots=True)
class GenerationTaskConfig:
    """Any task of writing, on records of your own."""

    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the records are."""
    template: str = "{source}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    source: str | None = None
    """The field that is cut where the prompt is longer than what the model reads; null: the template's first."""
    keep: Keep = Keep.beginning
    """Which part of it stays then."""
    references: str | None = "reference"
    """The field of right answers, a text or a list of texts; null: there are none."""
    decoding: SamplingConfig = field(default_factory=lambda: SamplingConfig(temperature=0.0, max_new_tokens=64))
    """How the model writes: the settings of the group `sampling`."""
    metrics: list[str] = field(default_factory=lambda: ["rouge", "chrf"])
    """Metrics of texts, by their names in the group `metrics`; those given with metrics=[...] are added."""
    extract: str | None = None
    """A regular expression: of a text written, its first match (its first group, where it has one) is the answer, and
    an empty text where there is none; null: the whole text."""
    extract_reference: str | None = None
    """The same for references."""
    ignore: list[str] = field(default_factory=list)
    """Regular expressions whose matches are taken out of answers and references before they are compared."""
    likelihood: bool = False
    """Measure `bits_per_byte` of the first reference too: how likely the model finds it after the prompt."""
    strip: bool = True
    """Take white space off both ends of answers and references."""
    limit: int | None = None
    """Records that are used, drawn by the seed; null: as the command says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)
        for name, pattern in (("extract", self.extract), ("extract_reference", self.extract_reference)):
            check_pattern(name, pattern or "")
        for pattern in self.ignore:
            check_pattern("ignore", pattern)
        fields = Template(self.template, "template").fields
        if not fields:
            raise ConfigError(f"template={self.template!r} has no {{field}}, so that all prompts would be the same")
        if self.source is not None and self.source not in fields:
            raise ConfigError(f"source={self.source} is none of the template's fields: {', '.join(fields)}")

        if self.likelihood and self.references is None:
            raise ConfigError("likelihood=true measures references, and references=null leaves none; name their field")

    def build(self, name: str, facts: TaskFacts) -> "GenerationTask":
        """Return the task; ConfigError without records."""
        return GenerationTask(name, self, facts, gather(name, self.data, self.fields, self.limit, facts))

    @property
    def fields(self) -> list[str]:
        """The fields that a record must have."""
        named = Template(self.template, "template").fields
        return [*named, *([] if self.references is None else [self.references])]


class GenerationTask(Measurement):
    """Writes a text for each item and measures it with metrics of texts."""

    reads_retrieval = True

    def __init__(self, name: str, config: GenerationTaskConfig, facts: TaskFacts, gathered: Gathered) -> None:
        self.name, self.config, self.origin, self.retrieval = name, config, gathered.facts, facts.retrieval
        self.template = Template(config.template, f"{name}.template")
        self.source = config.source or self.template.fields[0]
        self.metrics = text_metrics(config.metrics, facts)
        self._check_references()
        self.values = [{field: record.text(field) for field in self.template.fields} for record in gathered.records]
        """What the template is filled with, for each item."""
        field = config.references
        self.references = [[] if field is None else record.texts(field) for record in gathered.records]

    def _check_references(self) -> None:
        wanting = [metric.name for metric in self.metrics if metric.needs_references]
        if wanting and self.config.references is None:
            raise ConfigError(f"{self.name}: {wanting[0]} compares with references; name their field: references=...")

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers of all metrics, and the bits per byte of the first references where they are asked for."""
        bits = [Quantity(name=BITS, finish=ratio, higher_is_better=False)] if self.config.likelihood else []
        return [*(quantity for metric in self.metrics for quantity in metric.quantities), *bits]

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self.values)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, and what the items are."""
        items = [[values, references] for values, references in zip(self.values, self.references)]
        known = {"settings": plain(self.config), "fingerprint": fingerprint(items), **self.origin}
        return known if self.retrieval is None else known | {"retrieval": self.retrieval.facts()}

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write up to `subject.rows` texts side by side; as many are scored together."""

        def prompt_of(number: int, room: Room) -> Prompt:
            return fitted(self.template, self.values[number], self.source, self.config.keep, room)

        ready: list[tuple[int, TextSample, dict[str, Any]]] = []
        for number, texts, record in answers(subject, items, prompt_of, self.retrieval, self.config.decoding):
            ready.append((number, *self._sample(number, texts, record)))
            if len(ready) == subject.rows:
                yield from self._scored(subject, ready)
                ready = []
        yield from self._scored(subject, ready)

    def _scored(self, subject: Subject, ready: Sequence[tuple[int, TextSample, dict[str, Any]]]) -> Iterator[Outcome]:
        statistics = statistics_of_all(self.metrics, [sample for _, sample, _ in ready])
        if self.config.likelihood:
            pairs = [(record["prompt"], self.references[number][0]) for number, _, record in ready]
            for found, bits in zip(statistics, bits_and_bytes(subject, pairs)):
                found[BITS] = bits
        for (number, _, record), found in zip(ready, statistics):
            yield Outcome(number, found, record)

    def _sample(self, number: int, texts: list[str], record: dict[str, Any]) -> tuple[TextSample, dict[str, Any]]:
        config = self.config
        sample = TextSample(
            predictions=[self._answer(text, config.extract) for text in texts],
            references=[self._answer(text, config.extract_reference) for text in self.references[number]],
            source=self.values[number][self.source],
        )
        record |= {"prediction": sample.prediction, "references": sample.references}
        if len(texts) > 1:
            record["predictions"] = sample.predictions
        if texts != sample.predictions:
            record["written"] = texts
        return sample, record

    def _answer(self, text: str, pattern: str | None) -> str:
        if pattern is not None:
            match = re.search(pattern, text)
            text = "" if match is None else (match.group(1) or "") if match.re.groups else match.group()
        for ignored in self.config.ignore:
            text = re.sub(ignored, "", text)
        return text.strip() if self.config.strip else text


def statistics_of(metrics: Sequence[TextMetric], sample: TextSample) -> dict[str, Sequence[float]]:
    """Return the statistics of one sample under the name of each number that comes of them."""
    return statistics_of_all(metrics, [sample])[0]


def statistics_of_all(metrics: Sequence[TextMetric], samples: Sequence[TextSample]) -> list[dict[str, Sequence[float]]]:
    """Return `statistics_of` each sample; a metric that reads texts with a model reads them together."""
    found: list[dict[str, Sequence[float]]] = [{} for _ in samples]
    for metric in metrics if samples else ():
        for one, row in zip(found, np.asarray(metric.statistics(samples), dtype=np.float64).tolist()):
            one |= {quantity.name: row for quantity in metric.quantities}
    return found
