"""Triples from files: tables (TSV, CSV), N-Triples, and by rdflib Turtle, RDF/XML and results of SPARQL.

A line that holds no triple is refused with its place, or dropped and counted (`bad_lines=drop`).
"""

import csv
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from prospero.data.sources.compression import open_bytes
from prospero.data.sources.find_files import FoundFile, content_ending, find_files
from prospero.data.sources.reading import Reading
from prospero.data.triples.triple import Triple
from prospero.errors import ConfigError, DataError

TABLES = {".tsv": "\t", ".csv": ","}
N_TRIPLES = frozenset({".nt", ".ntriples"})
GRAPHS = {".ttl": "turtle", ".turtle": "turtle", ".rdf": "xml", ".owl": "xml", ".n3": "n3", ".jsonld": "json-ld"}
"""Ending -> the name by which rdflib knows the format."""
RESULTS = {".srx": "xml", ".srj": "json"}
"""The same for results of SPARQL; those in CSV and TSV are tables."""
ENDINGS = [*TABLES, *N_TRIPLES, *GRAPHS, *RESULTS]
LONGEST_LINE_BYTES = 1 << 24


class BadLines(Enum):
    """What to do with a line that holds no triple."""

    error = "error"
    drop = "drop"


@dataclass(kw_only=True, slots=True)
class TripleReading:
    """How files become triples, and the count of what was left out on the way."""

    columns: list[str] = field(default_factory=lambda: ["subject", "relation", "object"])
    """The columns of a table, or the variables of a result, that hold subject, relation and object."""
    header: bool | None = None
    """Whether the first row of a table names its columns; None: it does where all of `columns` stand in it."""
    bad_lines: BadLines = BadLines.error
    language: str | None = "en"
    """Of literals with a language those that have this one are taken (and all without any); None takes all."""
    query: str | None = None
    """A SELECT in SPARQL over files of RDF, in place of all their triples; its variables are named in `columns`."""
    notes: Counter[str] = field(default_factory=Counter)

    def read(self, path: str) -> Iterator[Triple]:
        """Yield the triples of the files that `path` means; DataError, in one line with its place, for what is none."""
        for file in find_files(path, Counter()):
            try:
                yield from self._read(file)
            except PermissionError:
                raise DataError(f"{file.path}: no permission to read; change its mode or its owner") from None
            except (OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DataError(f"{file.path}: damaged, cut off, or not what its ending says ({reason})") from None

    def _read(self, file: FoundFile) -> Iterator[Triple]:
        from prospero.data.triples import n_triples, rdf, table

        ending = content_ending(file.path.name)
        if ending in N_TRIPLES and self.query is None:
            yield from n_triples.read(file, self)
        elif ending in GRAPHS or (ending in N_TRIPLES and self.query is not None):
            yield from rdf.read_graph(file, GRAPHS.get(ending, "nt"), self)
        elif self.query is not None:
            raise ConfigError(
                f"query= asks a file of RDF ({', '.join([*N_TRIPLES, *GRAPHS])}), which {file.path} is not"
            )
        elif ending in TABLES:
            yield from table.read(file, TABLES[ending], self)
        elif ending in RESULTS:
            yield from rdf.read_results(file, RESULTS[ending], self)
        else:
            raise DataError(
                f"{file.path} holds no triples, going by its ending; they are read from {', '.join(ENDINGS)}"
            )

    def lines(self, file: FoundFile) -> Iterator[str]:
        r"""Yield the lines of a file, each with its "\n"; UTF-8, or what its byte-order mark says."""
        with open_bytes(file.path) as stream:
            reading = Reading(max_document_bytes=LONGEST_LINE_BYTES, notes=self.notes)
            for number, line in enumerate(reading.lines(stream, file.name), 1):
                if line is None:
                    raise DataError(f"{file.path} line {number} is longer than {4 * LONGEST_LINE_BYTES:,} bytes")
                yield line

    def triple(self, place: str, texts: tuple[str, str, str]) -> Iterator[Triple]:
        """Yield the triple of three texts, white space made single; one that is empty is a bad line."""
        repairs = Reading(notes=self.notes)
        values = [" ".join((repairs.repaired(text, place) or "").split()) for text in texts]
        empty = [name for name, value in zip(("subject", "relation", "object"), values) if not value]
        if empty:
            self.refuse(place, f"has no {empty[0]} (the field is empty)", f"an empty {empty[0]}")
            return
        yield Triple(*values)

    def refuse(self, place: str, what: str, kind: str) -> None:
        """Raise DataError for a line that holds no triple, or count it under its `kind`."""
        if self.bad_lines is BadLines.error:
            raise DataError(f"{place} {what}; mend it, or leave out what is no triple with bad_lines=drop")
        self.notes[f"lines dropped: {kind}"] += 1
