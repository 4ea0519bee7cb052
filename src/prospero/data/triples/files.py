"""Triples from files: tables (TSV, CSV), N-Triples, and by rdflib Turtle, RDF/XML and results of SPARQL."""

import csv
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator

from prospero.data.sources.find_files import FoundFile, content_ending, find_files
from prospero.data.triples import n_triples, rdf, table
from prospero.data.triples.reading import TripleReading
from prospero.data.triples.triple import Triple
from prospero.errors import ConfigError, DataError

TABLES = {".tsv": "\t", ".csv": ","}
N_TRIPLES = frozenset({".nt", ".ntriples"})
GRAPHS = {".ttl": "turtle", ".turtle": "turtle", ".rdf": "xml", ".owl": "xml", ".n3": "n3", ".jsonld": "json-ld"}
"""Ending -> the name by which rdflib knows the format."""
RESULTS = {".srx": "xml", ".srj": "json"}
"""The same for results of SPARQL; those in CSV and TSV are tables."""
ENDINGS = [*TABLES, *N_TRIPLES, *GRAPHS, *RESULTS]


def read_triples(path: str, reading: TripleReading) -> Iterator[Triple]:
    """Yield the triples of the files that `path` means; DataError, in one line with its place, for what is none."""
    for file in find_files(path, Counter()):
        try:
            yield from _read(file, reading)
        except PermissionError:
            raise DataError(f"{file.path}: no permission to read; change its mode or its owner") from None
        except (OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{file.path}: damaged, cut off, or not what its ending says ({reason})") from None


def _read(file: FoundFile, reading: TripleReading) -> Iterator[Triple]:
    ending = content_ending(file.path.name)
    if ending in N_TRIPLES and reading.query is None:
        yield from n_triples.read(file, reading)
    elif ending in GRAPHS or ending in N_TRIPLES:
        yield from rdf.read_graph(file, GRAPHS.get(ending, "nt"), reading)
    elif reading.query is not None:
        graphs = ", ".join([*N_TRIPLES, *GRAPHS])
        raise ConfigError(f"query= asks a file of RDF ({graphs}), which {file.path} is not")
    elif ending in TABLES:
        yield from table.read(file, TABLES[ending], reading)
    elif ending in RESULTS:
        yield from rdf.read_results(file, RESULTS[ending], reading)
    else:
        read = ", ".join(ENDINGS)
        raise DataError(f"{file.path} holds no triples, going by its ending; they are read from {read}")
