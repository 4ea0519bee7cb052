"""What rdflib reads: Turtle, a query over it, stored results; and what it cannot read, in one line."""

import json

import pytest

from prospero.data.triples.files import read_triples
from prospero.data.triples.reading import TripleReading
from prospero.errors import ConfigError, DataError

pytest.importorskip("rdflib", reason="rdflib is not installed: the extra rdf")

TURTLE = """@prefix x: <http://x.org/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
x:Rome x:capitalOf x:Italy ; rdfs:label "Rome"@en, "Roma"@it .
x:Paris x:capitalOf x:France .
x:Italy rdfs:label "the Italian Republic" .
[] x:capitalOf x:Nowhere .
"""
QUERY = (
    "PREFIX x: <http://x.org/> SELECT ?city ?how ?land WHERE { ?city x:capitalOf ?land . BIND('capital of' AS ?how) "
    "FILTER(!isBlank(?city)) }"
)


def read(path, **settings):
    return [(one.subject, one.relation, one.object) for one in read_triples(str(path), TripleReading(**settings))]


@pytest.fixture
def turtle(tmp_path):
    (tmp_path / "a.ttl").write_text(TURTLE)
    return tmp_path / "a.ttl"


def test_turtle_by_its_labels_in_an_order_of_its_own(turtle):
    assert read(turtle) == [("Paris", "capital of", "France"), ("Rome", "capital of", "the Italian Republic")]


def test_a_query_over_a_file(turtle, tmp_path):
    wanted = [("Paris", "capital of", "France"), ("Rome", "capital of", "Italy")]
    assert read(turtle, query=QUERY, columns=["city", "how", "land"]) == wanted
    (tmp_path / "q.rq").write_text(QUERY)
    assert read(turtle, query=str(tmp_path / "q.rq"), columns=["city", "how", "land"]) == wanted


def test_a_stored_result(tmp_path):
    row = {"subject": {"type": "uri", "value": "http://x.org/Rome"}, "relation": {"type": "literal", "value": "in"}}
    rows = [row | {"object": {"type": "literal", "value": "Italy", "xml:lang": "en"}}]
    names = {"vars": ["subject", "relation", "object"]}
    (tmp_path / "a.srj").write_text(json.dumps({"head": names, "results": {"bindings": rows}}))
    assert read(tmp_path / "a.srj") == [("Rome", "in", "Italy")]


def test_what_cannot_be_read_is_one_line(turtle, tmp_path):
    with pytest.raises(DataError, match=r"no variable 'subject'; variables found: city, how, land"):
        read(turtle, query=QUERY)
    with pytest.raises(ConfigError, match=r"query= is no query in SPARQL"):
        read(turtle, query="SELECT nothing")
    with pytest.raises(ConfigError, match=r"SERVICE asks a server"):
        read(turtle, query="SELECT ?s WHERE { SERVICE <http://x.org/sparql> { ?s ?p ?o } }")
    with pytest.raises(ConfigError, match=r"query= is ASK"):
        read(turtle, query="ASK { ?s ?p ?o }")
    (tmp_path / "bad.ttl").write_text("this is no turtle")
    with pytest.raises(DataError, match=r"bad\.ttl is no turtle") as error:
        read(tmp_path / "bad.ttl")
    assert "\n" not in str(error.value)
