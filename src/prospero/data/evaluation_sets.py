"""Evaluation sets as texts: what training text must not hold; and the index by which it is found there."""

import hashlib
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.overlap import RunIndex, WordNumbers, run_hashes, stretches
from prospero.data.records import Record, RecordsConfig, sound
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.find_files import TABLE_ENDINGS, find_files
from prospero.errors import DataError
from prospero.log import log


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """The items of one set, each with all its texts."""

    name: str
    records: RecordsConfig
    """Where they are: rows with fields, or with `path` texts too, each of them an item."""
    fields: Sequence[str] = ()
    """Fields of the rows that are looked for; none given: all that hold text, however deep."""

    def items(self) -> Iterator[list[str]]:
        """Read the texts of each item; DataError where they cannot be read."""
        path = self.records.path
        if path is not None and not any(file.ending in TABLE_ENDINGS for file in find_files(path, Counter())):
            if self.fields:
                raise DataError(f"{path} has no rows, so it has no fields {', '.join(self.fields)}; leave fields= out")
            yield from ([document.text] for document in FilesConfig(path=path).build().documents())
            return
        for record in self.records.stream():
            yield self._texts(record)

    def _texts(self, record: Record) -> list[str]:
        if self.fields:
            return [text for field in self.fields for text in record.texts(field)]
        return [sound(text) for text in _strings(record.row)]

    def identity(self) -> dict[str, Any]:
        """Return what decides the items: of files a hash of what they hold, of a set of the hub its name."""
        records = self.records
        values: dict[str, Any] = {"name": self.name, "fields": list(self.fields)}
        if records.path is not None:
            return values | {"content": content_hash(records.path)}
        hub = {"dataset": records.dataset, "subset": records.subset, "revision": records.revision}
        return values | hub | {"split": records.split}


def content_hash(path: str) -> str:
    """Return 32 hexadecimal digits of what the files hold that `path` means; DataError where there are none."""
    seen = hashlib.blake2b(digest_size=16)
    for file in find_files(path, Counter()):
        with open(file.path, "rb") as stream:
            seen.update(hashlib.file_digest(stream, "sha256").digest())
    return seen.hexdigest()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def sets_of_files(paths: Iterable[str], fields: Sequence[str]) -> list[EvaluationSet]:
    """Return a set for each path, called as its file; DataError for two of one name, or where there is no file."""
    found: dict[str, EvaluationSet] = {}
    for path in paths:
        try:
            find_files(path, Counter())
        except DataError as error:
            raise DataError(str(error).replace("data.path=", "cleaning.decontaminate.paths=")) from error
        name = Path(path).name.partition(".")[0] or path
        if name in found:
            raise DataError(f"{path} and {found[name].records.path} are both called '{name}'; rename one of them")
        found[name] = EvaluationSet(name=name, records=RecordsConfig(path=path), fields=tuple(fields))
    return list(found.values())


def _read(one: EvaluationSet) -> Iterator[list[str]]:
    """Yield a set's items; a DataError says which set and how to do without."""
    try:
        yield from one.items()
    except DataError as error:
        others = "choose others with cleaning.decontaminate.tasks= or give its file in paths="
        raise DataError(
            f"evaluation set {one.name}, which cleaning=[decontaminate] reads: {error} ({others})"
        ) from error


@dataclass(frozen=True, slots=True)
class Leak:
    """What a text has in common with evaluation sets."""

    names: tuple[str, ...]
    """The sets, in their order."""
    words: list[tuple[int, int]]
    """The stretches, in words; `EvaluationIndex.places` makes characters of them."""


class EvaluationIndex:
    """All runs of n words of some sets, without case and signs; in memory, 8 bytes a run and the words' numbers."""

    def __init__(self, sets: Sequence[EvaluationSet], n: int) -> None:
        self.n, self.names, self._words = n, [one.name for one in sets], WordNumbers()
        hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int16)]
        for number, one in enumerate(sets):
            found = self._runs(one)
            hashes.append(found)
            owners.append(np.full(len(found), number, np.int16))
        self._index, self._owners = RunIndex(np.concatenate(hashes)), np.concatenate(owners)

    def _runs(self, one: EvaluationSet) -> np.ndarray:
        """Return the hashes of a set's runs, and say how many of its items are too short to have one."""
        hashes, items, without = [np.zeros(0, np.uint64)], 0, 0
        for texts in _read(one):
            of_item = [run_hashes(self._words.wanted(text), self.n) for text in texts]
            hashes += of_item
            items, without = items + 1, without + (not any(map(len, of_item)))
        if not items:
            raise DataError(f"the evaluation set '{one.name}' holds no item")
        if without and multiprocessing.parent_process() is None:
            short = "Evaluation set %s: %d of %d items have no text of %d words, and are not looked for."
            log.warning(short, one.name, without, items, self.n)
        return np.unique(np.concatenate(hashes))

    def leak(self, text: str) -> Leak | None:
        """Return what of the sets stands in a text; None where nothing does."""
        numbers = self._words.of(text)
        places, which = self._index.find(run_hashes(numbers, self.n))
        if not len(places):
            return None
        # A run of several sets is known by the first of them.
        names = tuple(self.names[owner] for owner in np.unique(self._owners[self._index.first[which]]))
        return Leak(names, stretches(places, self.n))

    def places(self, text: str, leak: Leak) -> list[tuple[int, int]]:
        """Return the stretches of a text in characters."""
        words = self._words.places(text)
        return [(words[begin][0], words[end - 1][1]) for begin, end in leak.words]
