"""Triples from tables and N-Triples: nasty files, refusals in one line, counted drops."""

import gzip
from collections import Counter

import pytest

from prospero.data.triples.files import read_triples
from prospero.data.triples.n_triples import readable, unescaped, words_of
from prospero.data.triples.reading import BadLines, TripleReading
from prospero.errors import ConfigError, DataError


@pytest.fixture
def read(tmp_path):
    def read(name: str, content: str | bytes, **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        reading = TripleReading(**settings)
        found = [(one.subject, one.relation, one.object) for one in read_triples(str(path), reading)]
        return found, reading.notes

    return read


def test_tabs_quotes_line_ends_and_a_byte_order_mark(read):
    content = '\ufeffAda Lovelace\tborn in\tLondon\r\n"Quoted"\tis\t5" wide\n\n  Zürich \tliegt in\t die  Schweiz\n'
    found, _ = read("a.tsv", content)
    assert found == [
        ("Ada Lovelace", "born in", "London"),
        ('"Quoted"', "is", '5" wide'),
        ("Zürich", "liegt in", "die Schweiz"),
    ]


def test_csv_quotes_hold_commas_and_line_ends(read):
    found, _ = read("a.csv", 'a,"is, or ""was""",b\n"two\nlines",r,c\n')
    assert found == [("a", 'is, or "was"', "b"), ("two lines", "r", "c")]


def test_columns_by_name_in_any_order_and_a_header_that_is_seen(read):
    assert read("a.csv", "Object,x,Subject,relation\no,1,s,r\n")[0] == [("s", "r", "o")]
    found, _ = read("b.csv", "city,country,how\nRome,Italy,in\n", columns=["city", "how", "country"])
    assert found == [("Rome", "in", "Italy")]
    assert read("c.csv", "subject,relation,object\na,b,c\n", header=False)[0][0] == ("subject", "relation", "object")


def test_packed_files_are_read(read):
    assert read("a.tsv.gz", gzip.compress(b"a\tb\tc\n"))[0] == [("a", "b", "c")]


@pytest.mark.parametrize(
    ("name", "content", "settings", "said"),
    [
        ("a.tsv", "a\tb\tc\na\tb\n", {}, r"a\.tsv line 2 has 2 fields, a triple has 3 \(separated by tabs\)"),
        ("a.csv", "a,b,c,d\n", {}, r"a\.csv line 1 has 4 fields"),
        ("a.tsv", "a\t \tc\n", {}, r"a\.tsv line 1 has no relation \(the field is empty\)"),
        ("a.csv", "s,r,o\n1,2,3\n", {"header": True}, r"no column 'subject'; columns found: s, r, o\."),
        ("a.csv", 'a,"b,c\n', {}, r"a\.csv line 1 is no row of a table"),
        ("a.nt", "<a> <b> .\n", {}, r"a\.nt line 1 is no N-Triple"),
        ("a.nt", '<a> <b> "\\q" .\n', {}, r"line 1 has the escape \\q, which N-Triples does not know"),
        ("a.nt", '<a> <b> "\\uD800" .\n', {}, r"line 1 has the escape \\uD800, which is no character"),
        ("a.png", "a", {}, r"holds no triples, going by its ending; they are read from \.tsv, \.csv"),
    ],
)
def test_what_is_no_triple_is_refused_in_one_line(read, name, content, settings, said):
    with pytest.raises(DataError, match=said) as error:
        read(name, content, **settings)
    assert "\n" not in str(error.value)


def test_bad_lines_are_dropped_and_counted(read):
    found, notes = read("a.tsv", "a\tb\na\tb\tc\n\t\tx\n", bad_lines=BadLines.drop)
    assert found == [("a", "b", "c")]
    assert notes == Counter({"lines dropped: not 3 fields": 1, "lines dropped: an empty subject": 1})


GRAPH = r"""
# a comment
<http://x.org/Ada_Lovelace> <http://x.org/o#birthPlace> <http://x.org/London> .
<http://x.org/London> <http://www.w3.org/2000/01/rdf-schema#label> "London, the city"@en .
<http://x.org/London> <http://www.w3.org/2000/01/rdf-schema#label> "Londres"@fr .
<http://x.org/London> <http://x.org/motto> "a \"b\"\t\u00e9\U0001F600"@en-GB . # behind
<http://x.org/London> <http://x.org/motto> "rien"@fr .
<http://x.org/London> <http://x.org/population> "9000000"^^<http://www.w3.org/2001/XMLSchema#integer> .
_:b0 <http://x.org/o#birthPlace> <http://x.org/London> .
_:b1 <http://www.w3.org/2000/01/rdf-schema#label> "Somebody" .
_:b1 <http://x.org/o#birthPlace> <http://x.org/London>.
"""


def test_n_triples_by_their_labels(read):
    found, notes = read("a.nt", GRAPH.replace("\n", "\r\n"))
    assert found == [
        ("Ada Lovelace", "birth place", "London, the city"),
        ("London, the city", "motto", 'a "b" é😀'),
        ("London, the city", "population", "9000000"),
        ("Somebody", "birth place", "London, the city"),
    ]
    assert notes["literals in another language, left out"] == 2
    assert notes["triples of blank nodes without a label, left out"] == 1


def test_all_languages_and_labels_that_two_share(read):
    content = GRAPH + '<http://x.org/Other> <http://www.w3.org/2000/01/rdf-schema#label> "Somebody" .\n'
    found, _ = read("a.nt", content + "<http://x.org/Other> <http://x.org/r> <http://x.org/London> .\n", language=None)
    assert ("London, the city", "motto", "rien") in found
    assert ("Somebody (Other)", "r", "London, the city") in found


def test_names_of_iris():
    assert readable("http://x.org/a%20b/Caf%C3%A9_noir/") == ["a", "b", "Café noir"][2]
    assert (readable("urn:isbn:123"), words_of("birthPlace"), words_of("has_URL")) == ("123", "birth place", "has URL")
    assert unescaped(r"\\u0041 A") == r"\u0041 A"


def test_a_query_asks_rdf_only(read):
    with pytest.raises(ConfigError, match=r"query= asks a file of RDF"):
        read("a.tsv", "a\tb\tc\n", query="SELECT ?subject ?relation ?object WHERE {}")
