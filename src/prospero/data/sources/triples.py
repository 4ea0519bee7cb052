"""A corpus of facts: triples of files, or of the running Python's own library, told by templates.

    told      facts that stand in the text, each in every template of its relation but those that are held out
    unseen    facts that no text tells (`unseen_fraction`, by a hash): a model that knows one has read it in a context
    reading   documents with a context of invented facts and a question about one of them (`reading_documents`)

`evaluate.py tasks=[facts]` asks for both, in templates that were held out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.find_files import find_files, listing_hash
from prospero.data.sources.source import SourceConfig
from prospero.data.sources.stdlib import python_identity, stdlib_files
from prospero.data.template import Template
from prospero.data.triples.files import read_triples
from prospero.data.triples.invented import Reader
from prospero.data.triples.python_facts import python_facts
from prospero.data.triples.reading import BadLines, TripleReading
from prospero.data.triples.triple import Triple, Triples, place
from prospero.data.triples.verbalise import Verbaliser, verbaliser
from prospero.errors import ConfigError, DataError, suggest

READING = "reading"
"""The source of the documents that teach to read."""


@dataclass(kw_only=True, slots=True)
class TriplesConfig(SourceConfig):
    """Facts as text: of tsv, csv, nt, ttl, rdf, srj files; without a path what Python's library says about itself."""

    path: str | None = None
    """A file of triples (tsv, csv, nt, ttl, n3, rdf, jsonld, srx, srj; also packed), a folder or a glob; null: the
    functions, classes, methods, constants and modules of the running Python's standard library."""
    columns: list[str] = field(default_factory=lambda: ["subject", "relation", "object"])
    """The columns of a table, or the variables of a result of SPARQL, that hold subject, relation and object."""
    header: bool | None = None
    """Whether the first row of a table names its columns; null: it does where all of `columns` stand in it."""
    bad_lines: BadLines = BadLines.error
    """A line that holds no triple: stop, or drop it and count it."""
    language: str | None = "en"
    """Of literals with a language those that have this one are taken (and all without any); null takes all."""
    query: str | None = None
    """A SELECT in SPARQL, or a file .rq with one, over files of RDF, in place of all their triples."""
    relations: list[str] = field(default_factory=list)
    """Relations that are taken; [] takes all."""
    most_per_relation: int | None = None
    """Triples of a relation that are taken at most, chosen by a hash; null: all."""
    templates: dict[str, list[str]] = field(default_factory=dict)
    """Relation -> its templates over {subject}, {object} and {relation}, each a sentence."""
    templates_file: str | None = None
    """A YAML file of the same form, which has precedence; a relation without templates is told by its name."""
    held_out_templates: int = 1
    """The last so many templates of every relation are in no text of training; the probe asks with them."""
    unseen_fraction: float = 0.2
    """Share of the questions (subject, relation) whose facts no text tells, chosen by a hash."""
    reading_documents: int = 0
    """Documents with a context of invented facts and a question that it answers."""
    reading_facts: int = 4
    """Facts in such a context at most."""
    context: str = "Known: {facts}\n{prompt}"
    """How facts stand before a text: {facts} and {prompt}."""
    facts_seed: int = 1
    """Of the choice of triples, of unseen ones, and of what is invented."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if len(self.columns) != 3 or len(set(self.columns)) < 3:
            raise ConfigError(f"columns={self.columns}: name three, those of subject, relation and object")
        if not 0 <= self.unseen_fraction < 1:
            raise ConfigError(f"unseen_fraction={self.unseen_fraction} must be 0 or more, and below 1")
        for name, least in (("held_out_templates", 0), ("reading_documents", 0), ("reading_facts", 1)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}={value} must be {least} or more")
        if self.most_per_relation is not None and self.most_per_relation < 1:
            raise ConfigError(f"most_per_relation={self.most_per_relation} takes none; give 1 or more, or null")
        if self.path is None and self.query is not None:
            raise ConfigError("query= asks a file of RDF; give its path too")
        context_template(self.context)

    def build(self) -> "TriplesSource":
        """Return the source; DataError where the files, or the library's sources, are not there."""
        return TriplesSource(self)


def context_template(text: str) -> Template:
    """Return the template of a context; ConfigError unless it holds {facts} and {prompt}."""
    template = Template(text, "context")
    if sorted(template.fields) != ["facts", "prompt"]:
        raise ConfigError(f"context={text!r} must hold {{facts}} and {{prompt}}, and nothing else in braces")
    return template


class KnowledgeBase:
    """The triples that the settings choose, their templates, and which of them training tells."""

    def __init__(self, config: TriplesConfig, notes: Counter[str]) -> None:
        """Read the triples; DataError where there are none, ConfigError for relations and templates that cannot be."""
        self.config = config
        self.triples = _chosen(config, Triples(_read(config, notes), notes))
        self.verbaliser: Verbaliser = verbaliser(
            self.triples, config.templates, config.templates_file, config.held_out_templates
        )

    @cached_property
    def told(self) -> Triples:
        """The facts that stand in the text of training."""
        return Triples(triple for triple in self.triples if not self.is_unseen(triple))

    def is_unseen(self, triple: Triple) -> bool:
        """Whether no text tells the fact."""
        config = self.config
        return place(f"unseen {config.facts_seed}", *triple.question) < config.unseen_fraction

    def documents(self) -> Iterator[Document]:
        """Yield the text, in an order that keeps the sentences of a fact apart."""
        found = []
        for number, triple in enumerate(self.told, 1):
            for version, sentence in enumerate(self.verbaliser.sentences(triple), 1):
                found.append(Document(text=sentence, id=f"triples#{number}.{version}", source=triple.relation))
        names = frozenset(name for triple in self.triples for name in (triple.subject, triple.object))
        reader = Reader(
            self.told, names, self.verbaliser, context_template(self.config.context), self.config.reading_facts
        )
        for number, text in enumerate(reader.documents(self.config.reading_documents, self.config.facts_seed), 1):
            found.append(Document(text=text, id=f"triples#reading{number}", source=READING))
        yield from sorted(found, key=lambda document: place("order", document.id))


def _read(config: TriplesConfig, notes: Counter[str]) -> Iterator[Triple]:
    if config.path is None:
        return python_facts(notes)
    reading = TripleReading(
        columns=config.columns, header=config.header, bad_lines=config.bad_lines, language=config.language,
        query=config.query, notes=notes,
    )  # fmt: skip
    return read_triples(config.path, reading)


def _chosen(config: TriplesConfig, triples: Triples) -> Triples:
    """Return the triples of the relations that are taken, at most so many of each."""
    where = config.path or "the standard library"
    if not triples:
        raise DataError(f"there is no triple in {where}")
    for relation in config.relations:
        if relation not in triples.relations:
            found = ", ".join(list(triples.relations)[:20])
            raise ConfigError(
                f"relations: {where} has no relation '{relation}'.{suggest(relation, triples.relations)} It has {found}"
            )
    wanted = config.relations or list(triples.relations)
    kept: set[Triple] = set()
    for relation in wanted:
        ranked = [triple for triple in triples if triple.relation == relation]
        if config.most_per_relation is not None:
            ranked.sort(key=lambda one: place(str(config.facts_seed), one.subject, one.relation, one.object))
        kept.update(ranked[: config.most_per_relation])
    return Triples(triple for triple in triples if triple in kept)


class TriplesSource:
    """The sentences of all facts that are told, each a document."""

    def __init__(self, config: TriplesConfig) -> None:
        self.config = config
        self.notes: Counter[str] = Counter()
        self.files = stdlib_files() if config.path is None else find_files(config.path, self.notes)
        self._known: KnowledgeBase | None = None

    def knowledge(self) -> KnowledgeBase:
        """Return the triples, read once."""
        if self._known is None:
            self._known = KnowledgeBase(self.config, self.notes)
        return self._known

    def documents(self) -> Iterator[Document]:
        """Yield the text; raises `DataError` in one line for what cannot be read, or when nothing is told."""
        known = self.knowledge()
        if not known.told:
            raise DataError(f"none of the {len(known.triples)} triples is told; lower data.unseen_fraction")
        yield from known.documents()

    def identity(self) -> dict[str, Any]:
        """Return a hash over names, sizes and times of change of the files, and of the templates' file its content."""
        values = {"source": "triples"} | (python_identity() if self.config.path is None else {})
        if self.config.templates_file is not None:
            values["templates"] = listing_hash(find_files(self.config.templates_file, Counter()))["listing"]
        return values | listing_hash(self.files)

    def describe(self) -> str:
        """Return how many triples there are, with their fingerprint, which an evaluation compares."""
        known = self.knowledge()
        origin = "Python's library" if self.config.path is None else self.config.path
        return f"{known.triples.describe()} of {origin}, {len(known.told):,} told"

    def size_bytes(self) -> int | None:
        """Not known beforehand."""
        return None
