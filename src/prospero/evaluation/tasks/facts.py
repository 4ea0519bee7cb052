"""What a model knows: the object of a fact is ranked among all objects of its relation, asked in a held-out template.

Three columns stand side by side, each with hits@1, hits@10 and the mean reciprocal rank, over all and per relation:

    weights   facts that the text of training told, without context: what the weights hold
    context   facts that no text told, with what a retrieval finds before the question: what the model reads
    neither   the same facts without anything: what names and frequencies alone give away

A rank is filtered (Bordes et al. 2013): other objects that are true of the same question do not count against one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from prospero import registry
from prospero.data.records import fingerprint
from prospero.data.retrieval import Retrieval, RetrievalFacts
from prospero.data.sources.triples import KnowledgeBase, TriplesConfig
from prospero.data.triples.of_run import knowledge_of
from prospero.data.triples.triple import Triple, place
from prospero.data.triples.verbalise import Phrase
from prospero.errors import ConfigError
from prospero.evaluation.measurement import Grid, Measurement, Outcome, Quantity, Subject
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.items import check_limit, chosen
from prospero.evaluation.tasks.likelihood import utf8_bytes
from prospero.evaluation.tasks.ranking import candidate_log_likelihoods, rank
from prospero.plain import plain

COLUMNS = {"weights": "in the weights", "context": "in the context", "neither": "neither"}
METRICS = ("hits_at_1", "hits_at_10", "mrr")
MOST_RELATIONS = 12
"""Relations with numbers of their own, those with the most questions; the others count among all."""


class Length(Enum):
    """What the log-probability of a candidate is divided by."""

    none = "none"
    tokens = "tokens"
    bytes = "bytes"


@dataclass(kw_only=True, slots=True)
class FactsConfig:
    """Ranks of right answers: of facts in the weights, of facts in the context, and of neither."""

    path: str | None = None
    """Triples of your own (tsv, csv, nt, ttl ...); null: those of the data that the model was trained on."""
    templates_file: str | None = None
    """Templates for the triples of `path`, a YAML file; the last of each relation asks."""
    held_out: bool = True
    """Ask in the templates that were held out of training; false: in those of training."""
    length: Length = Length.none
    """A candidate's log-probability as it is, or divided by its tokens or bytes."""
    filtered: bool = True
    """Other right answers to the same question do not count against one."""
    limit: int | None = 100
    """Questions of each column at most, drawn by the seed; null: as the command says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)
        if self.templates_file is not None and self.path is None:
            raise ConfigError("templates_file= is for the triples of path=, which is not given")

    def build(self, name: str, facts: TaskFacts) -> "FactsTask":
        """Return the task; ConfigError where no triples are known, or none is told, unseen or asked for."""
        if self.path is None:
            known = knowledge_of(facts.validation, f"give tasks.{name}.path=<tsv, csv, nt or ttl>")
        else:
            known = KnowledgeBase(TriplesConfig(path=self.path, templates_file=self.templates_file), Counter())
        if self.held_out and not known.config.held_out_templates:
            raise ConfigError(f"no template was held out of training; ask in those: tasks.{name}.held_out=false")
        retrieval = facts.retrieval
        if retrieval is None:  # the column is there without a word more
            settings: dict[str, Any] = {} if self.path is None else {"path": self.path}
            settings |= {} if self.templates_file is None else {"templates_file": self.templates_file}
            usual = registry.config_class("retrieval", "triples")(**settings)
            retrieval = usual.build(RetrievalFacts(prepared=facts.validation))
        unseen = [triple for triple in known.triples if known.is_unseen(triple)]
        if not unseen or not known.told:
            raise ConfigError("unseen_fraction leaves no fact that is told, or none that is not; choose another")
        asked = {"weights": chosen(known.told, self.limit, facts), "context": chosen(unseen, self.limit, facts)}
        asked["neither"] = asked["context"]
        items = [FactItem(column=column, triple=triple) for column in COLUMNS for triple in asked[column]]
        return FactsTask(name, self, known, items, retrieval)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactItem:
    """A question, and in which column it counts."""

    column: str
    triple: Triple


class FactsTask(Measurement):
    """See the head of this file."""

    reads_retrieval = True

    def __init__(
        self, name: str, config: FactsConfig, known: KnowledgeBase, items: Sequence[FactItem], retrieval: Retrieval
    ) -> None:
        self.name, self.config, self.known, self.items, self.retrieval = name, config, known, list(items), retrieval
        counted = Counter(item.triple.relation for item in items)
        ranked = sorted(counted, key=lambda relation: (-counted[relation], relation))[:MOST_RELATIONS]
        self.shown = {relation: f"_{slug}" for relation, slug in zip(ranked, slugs(ranked))}
        """Relation -> the end of the names of its numbers."""

    @property
    def quantities(self) -> list[Quantity]:
        """`<column>_<metric>` over all, then `<column>_<metric>_<relation>`."""
        ends = ["", *self.shown.values()]
        return [Quantity(name=f"{column}_{metric}{end}") for end in ends for column in COLUMNS for metric in METRICS]

    @property
    def grids(self) -> list[Grid]:
        """The columns side by side."""
        rows = {_title(metric): [f"{column}_{metric}" for column in COLUMNS] for metric in METRICS}
        for metric in METRICS:
            for relation, end in self.shown.items():
                rows[f"{_title(metric)} {relation}"] = [f"{column}_{metric}{end}" for column in COLUMNS]
        return [Grid(columns=list(COLUMNS.values()), rows=rows)]

    @property
    def size(self) -> int:
        """How many questions there are, over the columns."""
        return len(self.items)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, what is asked, where facts are looked for, and hits@1 of a blind choice."""
        asked = [[item.column, item.triple.subject, item.triple.relation, item.triple.object] for item in self.items]
        chance = float(np.mean([1 / len(self.known.triples.objects[item.triple.relation]) for item in self.items]))
        return {
            "settings": plain(self.config),
            "fingerprint": fingerprint(asked),
            "triples": self.known.triples.describe(),
            "questions": dict(Counter(item.column for item in self.items)),
            "chance": chance,
            "retrieval": self.retrieval.facts(),
        }

    def item_text(self, record: Mapping[str, Any]) -> str:
        """None: it asks for facts of the training text on purpose, and says of which."""
        return ""

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Rank the candidates of one question after another."""
        for number in items:
            yield self._outcome(subject, number, self.items[number])

    def question(self, triple: Triple) -> Phrase:
        """Return the sentence that asks for a fact; of several templates a hash chooses."""
        known = self.known.verbaliser
        phrases = known.questions(triple) if self.config.held_out else known.trained_questions(triple)
        return phrases[int(place("question", triple.subject, triple.relation) * len(phrases))]

    def _outcome(self, subject: Subject, number: int, item: FactItem) -> Outcome:
        triple, phrase = item.triple, self.question(item.triple)
        candidates = self.known.triples.objects[triple.relation]
        ends = [candidate + phrase.after for candidate in candidates]
        prompt, record = self._prompt(subject, item, phrase, max(ends, key=len))
        nats, tokens = candidate_log_likelihoods(subject, prompt, ends)
        sizes = {
            Length.none: [1] * len(ends), Length.tokens: tokens, Length.bytes: [utf8_bytes(end) for end in ends],
        }[self.config.length]  # fmt: skip
        scores = [value / size for value, size in zip(nats, sizes)]
        right = candidates.index(triple.object)
        others = self.known.triples.answers[triple.question] if self.config.filtered else frozenset()
        leave_out = frozenset(n for n, one in enumerate(candidates) if one in others and n != right)
        found = rank(scores, right, leave_out)
        best = max((n for n in range(len(candidates)) if n not in leave_out), key=lambda n: scores[n])
        record |= {"prediction": candidates[best], "references": [triple.object], "rank": found}
        record |= {"candidates": len(candidates) - len(leave_out), "relation": triple.relation, "column": item.column}
        return Outcome(number, self._statistics(item, found), record)

    def _prompt(self, subject: Subject, item: FactItem, phrase: Phrase, longest: str) -> tuple[str, dict[str, Any]]:
        if item.column != "context":
            return phrase.before, {"prompt": phrase.before}
        window = subject.decoder.window
        room = None if window is None else window - len(subject.tokenizer.encode(longest))
        found = self.retrieval.before(phrase.before, subject.tokenizer, room)
        record = {"prompt": found.text, "facts": list(found.facts)}
        return found.text, record | ({"facts_left_out": found.left_out} if found.left_out else {})

    def _statistics(self, item: FactItem, found: float) -> dict[str, Sequence[float]]:
        values: dict[str, float] = dict(zip(METRICS, (float(found <= 1), float(found <= 10), 1 / found)))
        counts = {f"{item.column}_{metric}{end}" for metric in METRICS for end in ("", self._end(item))}
        return {
            quantity.name: [values[_metric(quantity.name)], 1.0] if quantity.name in counts else [0.0, 0.0]
            for quantity in self.quantities
        }

    def _end(self, item: FactItem) -> str:
        return self.shown.get(item.triple.relation, "")


def _metric(name: str) -> str:
    """Return the metric in the name of a number; `hits_at_1` begins `hits_at_10`."""
    behind = name.partition("_")[2]
    return next(metric for metric in sorted(METRICS, key=len, reverse=True) if behind.startswith(metric))


def _title(metric: str) -> str:
    return {"hits_at_1": "hits@1", "hits_at_10": "hits@10", "mrr": "MRR"}[metric]


def slugs(names: Sequence[str]) -> list[str]:
    """Return a name of letters, digits and underscores for each; different ones for different names."""
    found: list[str] = []
    for name in names:
        slug = base = re.sub(r"\W+", "_", name).strip("_").lower() or "relation"
        number = 2
        while slug in found:
            slug, number = f"{base}_{number}", number + 1
        found.append(slug)
    return found
