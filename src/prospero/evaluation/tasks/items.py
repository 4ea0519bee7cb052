"""Which records a task measures: its own or the embedded ones, all of them or some drawn by the seed."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from prospero.data.document import Document
from prospero.data.records import Record, RecordsConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.embedded.documents import unseen_documents
from prospero.evaluation.tasks.embedded.pinned import pinned

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """How a task makes records of the documents that come with Python."""

    make: Callable[[Sequence[Document]], list[Mapping[str, Any]]]
    most: int
    """Records that are kept; which, a hash of each decides, so that they are the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The records of a task."""

    records: list[Record]
    facts: dict[str, Any]
    """Where they are from, as plain values."""


def gather(
    name: str,
    data: RecordsConfig,
    fields: Sequence[str],
    limit: int | None,
    facts: TaskFacts,
    embedded: Embedded | None = None,
) -> Gathered:
    """Return the records of the task `name`, each with `fields`; ConfigError or DataError when there are none."""
    if data.given:
        found = Gathered(records=data.read(fields), facts={"records": data.describe()})
    elif embedded is not None:
        found = _embedded(name, fields, facts, embedded)
    else:
        raise ConfigError(
            f"The task '{name}' needs records: give tasks.{name}.data.path=<jsonl, csv or parquet>, or "
            f"tasks.{name}.data.dataset=<owner/name of the hub>"
        )
    return Gathered(records=chosen(found.records, limit, facts), facts=found.facts)


def _embedded(name: str, fields: Sequence[str], facts: TaskFacts, embedded: Embedded) -> Gathered:
    documents = unseen_documents(facts.validation, facts.trained_before)
    rows = pinned(embedded.make(documents.documents), embedded.most)
    if not rows:
        raise DataError(f"The task '{name}' found no items in what this Python brings; give tasks.{name}.data.path=...")
    records = [Record(f"embedded record {number} of {name}", row) for number, row in enumerate(rows, 1)]
    for record in records:
        record.check(fields)
    return Gathered(records=records, facts=documents.facts)


def chosen(items: Sequence[Item], limit: int | None, facts: TaskFacts) -> list[Item]:
    """Return `limit` (else the host's limit) of the items, drawn by the host's seed, in their order."""
    most = facts.limit if limit is None else limit
    if most is None or most >= len(items):
        return list(items)
    return [items[place] for place in sorted(random.Random(f"items {facts.seed}").sample(range(len(items)), most))]


def check_limit(limit: int | None) -> None:
    """Raise ConfigError for a limit that leaves nothing."""
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit} leaves nothing to measure; choose 1 or more, or null")


def check_pattern(name: str, pattern: str) -> None:
    """Raise ConfigError for what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{name}={pattern!r} is no regular expression: {error}") from None
