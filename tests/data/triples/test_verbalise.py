"""Templates: what training sees, what asks, a user's file, and what is refused."""

import pytest

from prospero.data.triples.triple import Triple, Triples
from prospero.data.triples.verbalise import Phrase, verbaliser
from prospero.errors import ConfigError

ROME = Triple("Rome", "capital of", "Italy")
TEMPLATES = {"capital of": ["{subject} is the capital of {object}.", "{object}: {subject}", "Of {object}, {subject}."]}


def made(templates=TEMPLATES, file=None, held_out=1, triples=(ROME,)):
    return verbaliser(Triples(triples), templates, file, held_out)


def test_the_last_templates_are_held_out():
    known = made()
    assert list(known.sentences(ROME)) == ["Rome is the capital of Italy.", "Italy: Rome"]
    assert known.sentence(ROME) == "Rome is the capital of Italy."
    assert known.questions(ROME) == [Phrase("Of ", ", Rome.")]
    assert known.trained_questions(ROME) == [Phrase("Rome is the capital of ", "."), Phrase("", ": Rome")]
    assert list(made(held_out=0).sentences(ROME))[2] == "Of Italy, Rome." and made(held_out=0).questions(ROME) == []


def test_a_relation_without_templates_is_told_by_its_name():
    known = made({})
    assert list(known.sentences(ROME)) == ["Rome capital of Italy.", "Rome: capital of Italy."]
    assert known.questions(ROME) == [Phrase("capital of of Rome: ", ".")]


def test_braces_in_a_name_are_no_template():
    odd = Triple("{object}", "capital of", "{x}")
    assert made(triples=[odd]).sentence(odd) == "{object} is the capital of {x}."


def test_a_file_has_precedence(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text("capital of: ['{object} has {subject}.', '{subject}, {object}']\n")
    assert list(made(file=str(file)).sentences(ROME)) == ["Italy has Rome."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "capital off: ['{object} {subject}', '{subject} {object}']",
            r"no triple has the relation 'capital off'\. Did",
        ),
        ("capital of: '{object} {subject}'", r"'capital of' has no list of templates"),
        ("- a", r"holds no templates"),
        ("a: [", r"cannot be read"),
        ("capital of: ['{object} of {city}', '{subject} {object}']", r"there is no \{city\}"),
        ("capital of: ['{object}', '{subject} {object}']", r"lacks \{subject\}"),
        ("capital of: ['{subject} {object}', '{subject} {object}']", r"stands there twice"),
        ("capital of: ['{subject} {object}']", r"has 1 templates, of which held_out_templates=1 leaves none"),
    ],
)
def test_what_is_refused(tmp_path, content, said):
    (tmp_path / "t.yaml").write_text(content)
    with pytest.raises(ConfigError, match=said):
        made(file=str(tmp_path / "t.yaml"))
