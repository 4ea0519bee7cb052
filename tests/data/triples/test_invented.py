"""Documents that teach to read: invented names, an answer that stands in the context, the same for the same seed."""

import random

from prospero.data.sources.triples import context_template
from prospero.data.triples.invented import Reader, invented
from prospero.data.triples.triple import Triple, Triples
from prospero.data.triples.verbalise import verbaliser

TOLD = Triples(
    [Triple(f"name{n}Part", "in", f"place{n % 7}") for n in range(20)]
    + [Triple(f"other_{n}", "by", f"maker{n % 5}") for n in range(20)]
)
TEMPLATES = {
    "in": ["{subject} is in {object}.", "{object} holds {subject}.", "HELD {subject} {object}"],
    "by": ["{subject} is by {object}.", "{object} made {subject}.", "HELD {subject} {object}"],
}
NAMES = frozenset(name for triple in TOLD for name in (triple.subject, triple.object))
READER = Reader(TOLD, NAMES, verbaliser(TOLD, TEMPLATES, None, 1), context_template("C: {facts}\n{prompt}"), 3)


def test_the_context_holds_the_answer_and_names_are_invented():
    documents = list(READER.documents(200, seed=1))
    sizes = set()
    for text in documents:
        assert text.startswith("C: ") and "HELD" not in text
        context, question = text.removeprefix("C: ").split("\n")
        facts = [fact for fact in context.split(".") if fact.strip()]
        sizes.add(len(facts))
        asked = [set(fact.split()) - {"is", "in", "by"} for fact in facts]
        assert any(words <= set(question.rstrip(".").split()) for words in asked), text
        assert not any(triple.subject in text.replace(".", " ").split() for triple in TOLD)
    assert sizes == {1, 2, 3}


def test_the_same_seed_gives_the_same_documents():
    assert list(READER.documents(5, seed=1)) == list(READER.documents(5, seed=1)) != list(READER.documents(5, seed=2))


def test_an_invented_name_is_none_of_the_known():
    draw = random.Random(0)
    assert all(invented(["a"], frozenset({"a", "aa"}), draw) not in {"a", "aa"} for _ in range(50))
