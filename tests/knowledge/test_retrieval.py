"""The group `retrieval`: triples of a file, paragraphs of a text, and what it asks for."""

import pytest

from prospero.data.retrieval import RetrievalFacts
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.knowledge.retrieval import BM25RetrievalConfig, NoRetrievalConfig, TriplesRetrievalConfig

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
NOTHING = RetrievalFacts()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.tsv").write_text("Rome\tis in\tItaly\nParis\tis in\tFrance\nRome\tlies on\tthe Tiber\n")
    return str(tmp_path / "a.tsv")


def test_triples_by_the_names_in_the_prompt(path):
    found = TriplesRetrievalConfig(path=path).build(NOTHING)
    assert found.find("Where is Rome?") == ["Rome is in Italy.", "Rome lies on the Tiber."]
    made = found.before("Where is Rome?", TOKENIZER, None)
    assert made.text == "Known: Rome is in Italy. Rome lies on the Tiber.\nWhere is Rome?"
    assert TriplesRetrievalConfig(path=path, k=1).build(NOTHING).find("Rome") == ["Rome is in Italy."]
    other = TriplesRetrievalConfig(path=path, k=1, context="{prompt} <- {facts}").build(NOTHING)
    assert other.before("Rome?", TOKENIZER, None).text == "Rome? <- Rome is in Italy."
    assert other.facts() != found.facts()


def test_bm25_over_facts_and_over_paragraphs(path, tmp_path):
    assert BM25RetrievalConfig(path=path, k=1).build(NOTHING).find("who is on the tiber") == ["Rome lies on the Tiber."]
    (tmp_path / "a.txt").write_text("First one\nover lines.\n\nAnother about cats.\n")
    found = BM25RetrievalConfig(path=str(tmp_path / "a.txt")).build(NOTHING)
    assert found.texts == ["First one over lines.", "Another about cats."]
    assert found.find("cats") == ["Another about cats."]


def test_none_is_none():
    assert NoRetrievalConfig().build(NOTHING) is None


def test_what_is_missing_is_said(path, tmp_path):
    with pytest.raises(ConfigError, match=r"prepared data are not here.*give retrieval=triples retrieval\.path="):
        TriplesRetrievalConfig().build(NOTHING)
    with pytest.raises(ConfigError, match=r"retrieval\.k=0 finds nothing"):
        TriplesRetrievalConfig(k=0)
    with pytest.raises(ConfigError, match=r"must hold \{facts\} and \{prompt\}"):
        TriplesRetrievalConfig(context="{facts}")
    with pytest.raises(ConfigError, match=r"retrieval\.path=, which is not given"):
        TriplesRetrievalConfig(templates_file="x.yaml")
    (tmp_path / "a.txt").write_text("\n\n  \n")
    with pytest.raises(DataError, match=r"text"):
        BM25RetrievalConfig(path=str(tmp_path / "a.txt")).build(NOTHING)
