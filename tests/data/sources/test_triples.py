"""The corpus of facts: what is told, what is not, and that held-out templates are in no text of training."""

import pytest

from prospero.data.sources.triples import TriplesConfig
from prospero.errors import ConfigError, DataError

TEMPLATES = {"likes": ["{subject} likes {object}.", "{object} is liked by {subject}.", "HELDOUT {subject} {object}."]}


@pytest.fixture
def config(tmp_path):
    def config(rows=None, **settings):
        rows = rows or [(f"s{n}", "likes", f"o{n % 9}") for n in range(100)]
        (tmp_path / "a.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
        return TriplesConfig(path=str(tmp_path / "a.tsv"), templates=TEMPLATES, **settings)

    return config


def test_told_facts_in_all_templates_but_those_held_out(config):
    source = config(unseen_fraction=0.25, reading_documents=20).build()
    known, texts = source.knowledge(), [document.text for document in source.documents()]
    assert 60 < len(known.told) < 90 and len(texts) == 2 * len(known.told) + 20
    assert not any("HELDOUT" in text for text in texts)
    told = {triple.subject for triple in known.told}
    unseen = {triple.subject for triple in known.triples} - told
    words = {word.strip(".:") for text in texts for word in text.split()}
    assert told <= words and unseen and not unseen & words, "no text names a subject of a fact that is not told"
    again = [document.text for document in config(unseen_fraction=0.25, reading_documents=20).build().documents()]
    assert texts == again


def test_answers_to_one_question_are_told_together_or_not_at_all(config):
    known = config([("s", "likes", f"o{n}") for n in range(50)] + [("t", "likes", "o")]).build().knowledge()
    assert len({known.is_unseen(triple) for triple in known.triples if triple.subject == "s"}) == 1


def test_relations_and_the_most_of_each(config):
    rows = [(f"s{n}", "likes", "o") for n in range(30)] + [(f"s{n}", "eats", "p") for n in range(30)]
    known = config(rows, relations=["eats"], most_per_relation=5).build().knowledge()
    assert known.triples.relations == {"eats": 5}
    with pytest.raises(ConfigError, match=r"has no relation 'eat'\. Did you mean 'eats'\? It has likes, eats"):
        config(rows, relations=["eat"]).build().knowledge()


def test_identity_and_description_change_with_the_content(config, tmp_path):
    first = config().build()
    said, known = first.describe(), first.identity()
    assert said.startswith("100 triples of 1 relation (") and said == config().build().describe()
    (tmp_path / "t.yaml").write_text("likes: ['{subject} {object}', '{object} {subject}']")
    second = config([("a", "likes", "b")] * 2, templates_file=str(tmp_path / "t.yaml"), unseen_fraction=0.0).build()
    assert known != second.identity() and known == first.identity()
    assert second.describe().startswith("1 triple of 1 relation (") and second.notes.total() == 1


def test_what_cannot_be(config):
    for settings, said in [
        ({"columns": ["a", "b"]}, "name three"),
        ({"unseen_fraction": 1.0}, "below 1"),
        ({"held_out_templates": -1}, "0 or more"),
        ({"context": "{facts}"}, "must hold"),
        ({"most_per_relation": 0}, "takes none"),
    ]:
        with pytest.raises(ConfigError, match=said):
            config(**settings)
    with pytest.raises(ConfigError, match="asks a file of RDF"):
        TriplesConfig(query="SELECT")
    with pytest.raises(DataError, match=r"none of the 1 triples is told"):
        list(config([("a", "likes", "b")], unseen_fraction=0.999).build().documents())
