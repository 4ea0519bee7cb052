r"""N-Triples (W3C 2014), read line by line: `<subject> <predicate> <object or "literal"> .`

    <http://example.org/Ada_Lovelace> <http://example.org/birthPlace> "London"@en .

Names are what people read: the rdfs:label of an IRI where the file has one, else the last part of the IRI (`Ada
Lovelace`, `birth place`). A blank node has no name, so that its triples are left out unless it has a label.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from prospero.data.sources.find_files import FoundFile
from prospero.data.triples.reading import TripleReading
from prospero.data.triples.triple import Triple

LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_IRI = r"<([^\x00-\x20<>\"{}|^`]*)>"
_BLANK = r"(_:[\w:.\-·]*[\w:\-·])"
_LITERAL = rf'"((?:[^"\\\n\r]|\\.)*)"(?:@([a-zA-Z]+(?:-[a-zA-Z0-9]+)*)|\^\^{_IRI})?'
_LINE = re.compile(rf"\s*(?:{_IRI}|{_BLANK})\s*{_IRI}\s*(?:{_IRI}|{_BLANK}|{_LITERAL})\s*\.\s*(?:#.*)?$")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_NAMED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Term:
    """A node: an IRI, a blank node (`_:b0`) or a literal."""

    value: str
    literal: bool = False
    language: str | None = None

    @property
    def blank(self) -> bool:
        """Whether it is a node without a name."""
        return not self.literal and self.value.startswith("_:")


Statement = tuple[str, Term, str, Term]
"""Place, subject, predicate, object."""


def read(file: FoundFile, reading: TripleReading) -> Iterator[Triple]:
    """Yield the triples of a file of N-Triples."""
    yield from named(_statements(file, reading), reading)


def _statements(file: FoundFile, reading: TripleReading) -> Iterator[Statement]:
    for number, line in enumerate(reading.lines(file), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place, match = f"{file.path} line {number}", _LINE.match(line)
        try:
            if match is None:
                raise ValueError(f"is no N-Triple ({line.strip()[:60]!r})")
            subject, blank, predicate, iri, blank_object, literal, language, _ = match.groups()
            yield place, _node(subject, blank), unescaped(predicate), _object(iri, blank_object, literal, language)
        except ValueError as error:
            reading.refuse(place, str(error), "no N-Triple")


def _node(iri: str | None, blank: str | None) -> Term:
    return Term(unescaped(iri)) if iri is not None else Term(str(blank))


def _object(iri: str | None, blank: str | None, literal: str | None, language: str | None) -> Term:
    if literal is None:
        return _node(iri, blank)
    return Term(unescaped(literal), literal=True, language=language)


def unescaped(text: str) -> str:
    r"""Return text with `\n`, `\"`, `\u00e9` and the like replaced; ValueError for an escape that is none."""

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            number = int(code[1:], 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise ValueError(f"has the escape \\{code}, which is no character")
            return chr(number)
        if code not in _NAMED:
            raise ValueError(f"has the escape \\{code}, which N-Triples does not know")
        return _NAMED[code]

    return _ESCAPE.sub(character, text) if "\\" in text else text


def named(statements: Iterable[Statement], reading: TripleReading) -> Iterator[Triple]:
    """Yield statements as triples of names; labels may stand anywhere, so that all are read first."""
    labels: dict[str, str] = {}
    kept: list[Statement] = []
    for statement in statements:
        place, subject, predicate, object_ = statement
        if object_.literal and not _speaks(object_.language, reading.language):
            reading.notes["literals in another language, left out"] += 1
        elif predicate == LABEL and object_.literal:
            labels.setdefault(subject.value, object_.value)
            reading.notes["labels (rdfs:label), taken as names"] += 1
        else:
            kept.append((place, subject, predicate, object_))
    shared = {label for label, count in Counter(labels.values()).items() if count > 1}
    for place, subject, predicate, object_ in kept:
        if any(term.blank and term.value not in labels for term in (subject, object_)):
            reading.notes["triples of blank nodes without a label, left out"] += 1
            continue
        names = (_name(subject, labels, shared), _relation(predicate, labels), _name(object_, labels, shared))
        yield from reading.triple(place, names)


def _speaks(language: str | None, wanted: str | None) -> bool:
    return language is None or wanted is None or language.lower().partition("-")[0] == wanted.lower()


def _name(term: Term, labels: dict[str, str], shared: set[str]) -> str:
    if term.literal:
        return term.value
    label = labels.get(term.value)
    if label is None:
        return readable(term.value)
    return f"{label} ({readable(term.value)})" if label in shared else label


def _relation(iri: str, labels: dict[str, str]) -> str:
    return labels.get(iri) or words_of(readable(iri))


def readable(iri: str) -> str:
    """Return the last part of an IRI as text: `http://x.org/Ada_Lovelace` -> `Ada Lovelace`."""
    whole = iri.rstrip("/#")
    last = re.split(r"[/#]", whole)[-1] or whole
    last = last.rpartition(":")[2] or last
    return unquote(last).replace("_", " ").strip()


def words_of(name: str) -> str:
    """Return a name in camel case or with underscores as words: `birthPlace` -> `birth place`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.replace("_", " "))
    return " ".join(word.lower() if not word.isupper() or len(word) == 1 else word for word in spaced.split())
