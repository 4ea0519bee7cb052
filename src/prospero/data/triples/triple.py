"""A fact as a triple (subject, relation, object), and sets of them: each once, in the order they were read."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from prospero.data.receipt import digest

DUPLICATE = "triples that stood there before"


@dataclass(frozen=True, slots=True, order=True)
class Triple:
    """One fact; three texts that are not empty, without white space at their ends."""

    subject: str
    relation: str
    object: str

    @property
    def question(self) -> tuple[str, str]:
        """The subject and the relation: what the object answers."""
        return self.subject, self.relation


def place(*texts: str) -> float:
    """Return a number in [0, 1) that depends on the texts alone."""
    digest_ = hashlib.blake2b("\0".join(texts).encode(), digest_size=8).digest()
    return int.from_bytes(digest_, "big") / 2**64


class Triples(Sequence[Triple]):
    """Triples, each once, and what is asked of them as a whole."""

    def __init__(self, triples: Iterable[Triple], notes: Counter[str] | None = None) -> None:
        """Take them in their order; copies are left out and counted in `notes`."""
        found: dict[Triple, None] = {}
        for triple in triples:
            if triple in found and notes is not None:
                notes[DUPLICATE] += 1
            found.setdefault(triple)
        self._all = tuple(found)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index):  # type: ignore[override]  # int -> Triple, slice -> tuple
        return self._all[index]

    def __iter__(self) -> Iterator[Triple]:
        return iter(self._all)

    @cached_property
    def relations(self) -> dict[str, int]:
        """Relation -> how many triples have it, in the order of their first."""
        return dict(Counter(triple.relation for triple in self._all))

    @cached_property
    def objects(self) -> dict[str, list[str]]:
        """Relation -> its objects, each once, sorted: what may answer a question about it."""
        found: dict[str, set[str]] = {}
        for triple in self._all:
            found.setdefault(triple.relation, set()).add(triple.object)
        return {relation: sorted(objects) for relation, objects in found.items()}

    @cached_property
    def answers(self) -> dict[tuple[str, str], frozenset[str]]:
        """(subject, relation) -> all objects that are true of them."""
        found: dict[tuple[str, str], set[str]] = {}
        for triple in self._all:
            found.setdefault(triple.question, set()).add(triple.object)
        return {question: frozenset(objects) for question, objects in found.items()}

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that change with any triple, and not with their order."""
        return digest([[triple.subject, triple.relation, triple.object] for triple in sorted(self._all)])

    def describe(self) -> str:
        """Return how many they are, of how many relations, and the beginning of their fingerprint."""
        count = len(self.relations)
        relations = "1 relation" if count == 1 else f"{count} relations"
        triples = "1 triple" if len(self) == 1 else f"{len(self):,} triples"
        return f"{triples} of {relations} ({self.fingerprint()[:12]})"
