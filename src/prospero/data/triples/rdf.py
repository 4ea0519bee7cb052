"""What rdflib reads for us: Turtle, RDF/XML, N3, JSON-LD, results of SPARQL, and a query over a local file."""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prospero.data.sources.compression import open_bytes
from prospero.data.sources.find_files import FoundFile
from prospero.data.triples.n_triples import Statement, Term, named, readable, words_of
from prospero.data.triples.reading import TripleReading
from prospero.data.triples.triple import Triple
from prospero.errors import ConfigError, DataError, suggest


def read_graph(file: FoundFile, format_: str, reading: TripleReading) -> Iterator[Triple]:
    """Yield the triples of a graph, or the rows of a query over it, sorted: a graph has no order of its own."""
    rdflib = _rdflib(file)
    graph = rdflib.Graph()
    with open_bytes(file.path) as stream:
        content = b"".join(iter(lambda: stream.read(1 << 20), b""))
    try:
        graph.parse(data=content, format=format_, publicID=file.path.name)
    except Exception as error:  # each parser of rdflib raises classes of its own
        raise DataError(f"{file.path} is no {format_} ({_line(error)})") from None
    if reading.query is not None:
        yield from _rows(file, _asked(graph, reading.query), reading)
        return
    ordered = sorted(graph, key=lambda row: tuple(term.n3() for term in row))
    yield from named(_statements(file, ordered, rdflib), reading)


def read_results(file: FoundFile, format_: str, reading: TripleReading) -> Iterator[Triple]:
    """Yield the rows of a stored result of SPARQL."""
    _rdflib(file)
    from rdflib.query import Result

    try:
        with open_bytes(file.path) as stream:
            result = Result.parse(stream, format=format_)  # type: ignore[arg-type]  # anything with read(n)
    except Exception as error:  # as above
        raise DataError(f"{file.path} is no result of SPARQL in {format_} ({_line(error)})") from None
    yield from _rows(file, result, reading)


def _rdflib(file: FoundFile) -> Any:
    if importlib.util.find_spec("rdflib") is None:
        raise ConfigError(f'{file.path} needs the package "rdflib": pip install "prospero[rdf]"')
    import rdflib

    return rdflib


def _asked(graph: Any, query: str) -> Any:
    """Return the result of a SELECT, given as text or as a file that ends in .rq; nothing is fetched from elsewhere."""
    if query.endswith((".rq", ".sparql")):
        try:
            query = Path(query).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"query={query} cannot be read ({error})") from None
    if "service" in query.lower().split():
        raise ConfigError("query= asks local files only, and SERVICE asks a server; take it out")
    try:
        result = graph.query(query)
    except Exception as error:  # as above
        raise ConfigError(f"query= is no query in SPARQL ({_line(error)})") from None
    if result.type != "SELECT":
        raise ConfigError(f"query= is {result.type}; a SELECT gives the triples")
    return result


def _rows(file: FoundFile, result: Any, reading: TripleReading) -> Iterator[Triple]:
    variables = [str(name) for name in result.vars or []]
    for name in reading.columns:
        if name not in variables:
            raise DataError(
                f"{file.path}: no variable '{name}'; variables found: {', '.join(variables)}."
                f"{suggest(name, variables)} Name them with columns=[subject,relation,object]"
            )
    rows = [tuple(row[variables.index(name)] for name in reading.columns) for row in result]
    for number, row in enumerate(sorted(rows, key=lambda row: tuple(map(str, row))), 1):
        place = f"{file.path} row {number}"
        subject, relation, object_ = ("" if term is None else _text(term) for term in row)
        yield from reading.triple(place, (subject, words_of(relation), object_))


def _text(term: Any) -> str:
    import rdflib

    return readable(str(term)) if isinstance(term, rdflib.URIRef) else str(term)


def _statements(file: FoundFile, rows: Iterable[Any], rdflib: Any) -> Iterator[Statement]:
    for number, (subject, predicate, object_) in enumerate(rows, 1):
        yield f"{file.path} triple {number}", _term(subject, rdflib), str(predicate), _term(object_, rdflib)


def _term(term: Any, rdflib: Any) -> Term:
    if isinstance(term, rdflib.Literal):
        return Term(str(term), literal=True, language=term.language)
    return Term(f"_:{term}" if isinstance(term, rdflib.BNode) else str(term))


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
