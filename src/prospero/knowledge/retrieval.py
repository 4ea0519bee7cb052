"""The group `retrieval`: facts before a prompt, found by the names in it or by BM25."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.data.receipt import digest
from prospero.data.retrieval import Retrieval, RetrievalFacts
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.find_files import content_ending
from prospero.data.sources.triples import KnowledgeBase, TriplesConfig, context_template
from prospero.data.template import Template
from prospero.data.triples.files import ENDINGS
from prospero.data.triples.of_run import knowledge_of
from prospero.errors import ConfigError, DataError
from prospero.knowledge.bm25 import BM25
from prospero.knowledge.entities import EntityIndex


@dataclass(kw_only=True, slots=True)
class NoRetrievalConfig:
    """Prompts as they are."""

    def build(self, facts: RetrievalFacts) -> None:
        """Return None: nothing is put before a prompt."""


@dataclass(kw_only=True, slots=True)
class RetrievalConfig:
    """What both kinds of retrieval have."""

    path: str | None = None
    """Where facts are looked for; null: among the triples that the model was trained with, told or not."""
    templates_file: str | None = None
    """Templates for the triples of `path`, a YAML file; without one a relation is told by its name."""
    k: int = 4
    """Facts before a prompt at most; fewer where they do not fit into the model's window."""
    max_tokens: int | None = None
    """Tokens that they may cost beyond the prompt; null: what the window leaves."""
    context: str | None = None
    """How they stand there: a template with {facts} and {prompt}; null: as in the model's training."""

    def __post_init__(self) -> None:
        if self.path is not None and not self.path.strip():
            raise ConfigError("retrieval.path= is empty; give a file, or leave it out")
        if self.templates_file is not None and self.path is None:
            raise ConfigError("retrieval.templates_file= is for the triples of retrieval.path=, which is not given")
        for name in ("k", "max_tokens"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"retrieval.{name}={value} finds nothing; give 1 or more, or retrieval=none")
        if self.context is not None:
            context_template(self.context)


@dataclass(kw_only=True, slots=True)
class TriplesRetrievalConfig(RetrievalConfig):
    """Facts whose subject the prompt names (where it names none: whose object), by an index over all names."""

    def build(self, facts: RetrievalFacts) -> "TriplesRetrieval":
        """Return the index; ConfigError where no triples are known."""
        known = _knowledge(self, facts, "triples")
        return TriplesRetrieval(self, known, _context(self, known))


@dataclass(kw_only=True, slots=True)
class BM25RetrievalConfig(RetrievalConfig):
    """The sentences of triples, or the paragraphs of a text (retrieval.path), that BM25 scores highest."""

    k1: float = 1.2
    """How soon a word that stands there often counts no more; 0: at once."""
    b: float = 0.75
    """How much longer texts are marked down, from 0 (not at all) to 1."""

    def __post_init__(self) -> None:
        RetrievalConfig.__post_init__(self)
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise ConfigError(f"retrieval.k1={self.k1} must be 0 or more, and retrieval.b={self.b} from 0 to 1")

    def build(self, facts: RetrievalFacts) -> "BM25Retrieval":
        """Return the index; ConfigError or DataError where there is nothing to look in."""
        if self.path is not None and content_ending(Path(self.path).name) not in ENDINGS:
            if self.templates_file is not None:
                raise ConfigError(f"retrieval.templates_file= tells triples, and {self.path} is text; leave it out")
            return BM25Retrieval(self, paragraphs(self.path), _context(self, None))
        known = _knowledge(self, facts, "bm25")
        sentences = [known.verbaliser.sentence(triple) for triple in known.triples]
        return BM25Retrieval(self, sentences, _context(self, known))


def _knowledge(config: RetrievalConfig, facts: RetrievalFacts, name: str) -> KnowledgeBase:
    if config.path is None:
        return knowledge_of(facts.prepared, f"give retrieval={name} retrieval.path=<tsv, csv, nt or ttl>")
    triples = TriplesConfig(path=config.path, templates_file=config.templates_file)
    return KnowledgeBase(triples, Counter())


def _context(config: RetrievalConfig, known: KnowledgeBase | None) -> Template:
    usual = TriplesConfig() if known is None else known.config
    return context_template(config.context or usual.context)


def paragraphs(path: str) -> list[str]:
    """Return the paragraphs of text files (between blank lines), or the rows of tables; DataError without any."""
    documents = FilesConfig(path=path, document_separator="").build().documents()
    found = [" ".join(document.text.split()) for document in documents]
    kept = [text for text in found if text]
    if not kept:
        raise DataError(f"retrieval.path={path} holds no text")
    return kept


class TriplesRetrieval(Retrieval):
    """By the names in the prompt."""

    def __init__(self, config: RetrievalConfig, known: KnowledgeBase, context: Template) -> None:
        super().__init__(context, config.max_tokens)
        self.config, self.known = config, known
        self.index = EntityIndex(known.triples)

    def find(self, prompt: str) -> Sequence[str]:
        """Return the sentences of at most k triples."""
        return [self.known.verbaliser.sentence(triple) for triple in self.index.about(prompt)[: self.config.k]]

    def facts(self) -> dict[str, Any]:
        """The settings that count, and which triples they are."""
        return _plain("triples", self, self.config, self.known.triples.fingerprint())


class BM25Retrieval(Retrieval):
    """By the words in the prompt."""

    def __init__(self, config: BM25RetrievalConfig, texts: Sequence[str], context: Template) -> None:
        super().__init__(context, config.max_tokens)
        self.config, self.texts = config, list(texts)
        self.index = BM25(self.texts, config.k1, config.b)

    def find(self, prompt: str) -> Sequence[str]:
        """Return the k best texts that share a word with the prompt."""
        return self.index.best(prompt, self.config.k)

    def facts(self) -> dict[str, Any]:
        """The settings that count, and which texts they are."""
        known = _plain("bm25", self, self.config, digest(self.texts))
        return known | {"k1": self.config.k1, "b": self.config.b}


def _plain(kind: str, retrieval: Retrieval, config: RetrievalConfig, fingerprint: str) -> dict[str, Any]:
    parts = [[literal, field] for literal, field in retrieval.context.parts]
    return {
        "retrieval": kind, "k": config.k, "max_tokens": config.max_tokens, "context": parts, "looks_in": fingerprint,
    }  # fmt: skip
