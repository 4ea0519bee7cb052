"""How triples are read from files: the settings of all formats, and what becomes of a line that holds none.

It is refused with its place, or dropped and counted (`bad_lines=drop`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from prospero.data.sources.compression import open_bytes
from prospero.data.sources.find_files import FoundFile
from prospero.data.sources.reading import Reading
from prospero.data.triples.triple import Triple
from prospero.errors import DataError

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
