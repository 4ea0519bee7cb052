"""Documents that teach to read: a context of invented facts, then a sentence that one of them answers.

Subjects are put together of pieces of real ones, objects are drawn among those of the relation. So nothing but the
context knows the answer, and what is learnt is to look there.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prospero.data.template import Template
from prospero.data.triples.triple import Triple, Triples
from prospero.data.triples.verbalise import Verbaliser

_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|.", re.DOTALL)
_TRIES = 20
MOST_RELATIONS = 3
"""Facts about one subject in a context."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What the documents are made of."""

    told: Triples
    """The facts that training may see: their names and their objects are drawn from."""
    names: frozenset[str]
    """All names that there are; an invented one is none of them."""
    verbaliser: Verbaliser
    context: Template
    most: int
    """Facts in a context at most."""

    def documents(self, count: int, seed: int) -> Iterator[str]:
        """Yield `count` documents; the same for the same seed."""
        draw = random.Random(f"reading {seed}")
        relations = list(self.told.relations)
        subjects = {name: sorted({t.subject for t in self.told if t.relation == name}) for name in relations}
        for _ in range(count):
            facts = self._facts(draw, relations, subjects)
            asked = draw.choice(facts)
            sentences = [self.verbaliser.sentence(fact) for fact in facts]
            question = draw.choice(list(self.verbaliser.sentences(asked)))
            yield self.context.fill({"facts": " ".join(sentences), "prompt": question})

    def _facts(self, draw: random.Random, relations: Sequence[str], subjects: dict[str, list[str]]) -> list[Triple]:
        found: list[Triple] = []
        wanted = draw.randint(1, self.most)
        while len(found) < wanted:
            first = draw.choice(relations)
            name = invented(subjects[first], self.names, draw)
            others = [one for one in relations if one != first]
            for relation in [first, *draw.sample(others, min(len(others), draw.randrange(MOST_RELATIONS)))]:
                found.append(Triple(name, relation, draw.choice(self.told.objects[relation])))
        found = found[:wanted]
        draw.shuffle(found)
        return found


def invented(names: Sequence[str], known: frozenset[str], draw: random.Random) -> str:
    """Return the beginning of one name and the end of another, which is none of the `known`."""
    made = ""
    for _ in range(_TRIES):
        first, second = _PIECES.findall(draw.choice(names)), _PIECES.findall(draw.choice(names))
        made = "".join(first[: draw.randint(1, len(first))]) + "".join(second[draw.randrange(len(second)) :])
        if made not in known and len(made) <= 40:
            return made
    while made in known:
        made += draw.choice("abcdefghijklmnopqrstuvwxyz")
    return made
