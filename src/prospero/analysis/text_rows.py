"""Rows of text that analyses look at: of the run's own validation, of the documents that come with Python, or of files.

Shapes: B rows, T tokens of a row.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prospero.analysis.base import Analysis
from prospero.analysis.reading import Rows
from prospero.data.document import Document
from prospero.data.packing.evaluation import evaluation_packing
from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.embedded.documents import unseen_documents
from prospero.evaluation.tasks.text import EncodedText, TextConfig, encoded_text, own_text, text_of_files

MOST_SEQ_LEN = 256
"""Tokens of a row at most where nobody says how many: a pattern of attention has their square."""
ROWS, ROWS_IN_TRAINING = 32, 8
"""Rows where nobody says how many, in a command and within a training."""
CHARACTERS_PER_TOKEN = 8
"""More than a token has in the mean: of how much text an embedded row is cut."""


@dataclass(kw_only=True, slots=True)
class TextRowsConfig:
    """Which text is looked at."""

    path: str | None = None
    """Files to read instead of the run's own text: a file, a folder or a glob; txt, md, code, jsonl, csv, parquet."""
    split: str = "val"
    """Without path: which split of the prepared data, val, test or train."""
    seq_len: int | None = None
    """Tokens of a row; null: as in the model's training, at most 256."""
    limit: int | None = None
    """Rows, evenly spread over the text; null: as the host says, else 32 (8 within a training)."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} leaves nothing to look at; choose 1 or more, or null")
        if self.seq_len is not None and self.seq_len < 2:
            raise ConfigError(f"seq_len={self.seq_len} must be at least 2")
        if self.path is not None and not self.path.strip():
            raise ConfigError("path= is empty; give a file, a folder or a glob, or leave it out")
        if self.split not in ("train", "val", "test"):
            raise ConfigError(f"split={self.split} is none.{suggest(self.split, ('train', 'val', 'test'))}")

    def rows(self, name: str, facts: AnalysisFacts) -> "TextRows":
        """Return the rows that the analysis called `name` looks at; DataError where there is no text."""
        seq_len = self.seq_len or min(facts.seq_len or MOST_SEQ_LEN, MOST_SEQ_LEN)
        limit = rows_wanted(self.limit, facts)
        try:
            text = self._text(name, facts, limit * seq_len)
        except (ConfigError, DataError) as error:
            raise type(error)(str(error).replace(f"tasks.{name}", f"analyses.{name}")) from error
        if text.shards.n_tokens < 2:
            raise DataError(f"analyses.{name}: the text has no token after its first, so there is nothing to look at")
        return TextRows(name, text, seq_len, limit)

    def _text(self, name: str, facts: AnalysisFacts, tokens: int) -> EncodedText:
        task = TextConfig(path=self.path, split=self.split)
        known = TaskFacts(validation=facts.data, tokenizer=facts.tokenizer, seed=facts.seed)
        if self.path is not None:
            return text_of_files(task, self.path, name, known)
        return _embedded(name, facts, tokens) if facts.data is None else own_text(task, name, known)


def rows_wanted(limit: int | None, facts: AnalysisFacts) -> int:
    """Return how many items an analysis has: its own limit, else the host's, else few."""
    return limit or facts.limit or (ROWS_IN_TRAINING if facts.training else ROWS)


def _embedded(name: str, facts: AnalysisFacts, tokens: int) -> EncodedText:
    found = unseen_documents(None)
    documents = random.Random(f"rows {facts.seed}").sample(list(found.documents), len(found.documents))
    text = encoded_text(_enough(documents, tokens * CHARACTERS_PER_TOKEN), facts.tokenizer, found.facts)
    if text is None:
        raise DataError(f"analyses.{name} found no text in what this Python brings; give analyses.{name}.path=FILE")
    return text


def _enough(documents: Sequence[Document], characters: int) -> Iterator[Document]:
    for document in documents:
        if characters <= 0:
            return
        characters -= len(document.text)
        yield document


class TextRows:
    """Rows of one text, as the items of an analysis."""

    def __init__(self, name: str, text: EncodedText, seq_len: int, limit: int) -> None:
        self.name, self.text = name, text
        self.packing = evaluation_packing(text.shards, seq_len, document_ids=False)
        n = len(self.packing)
        self.sequences = np.linspace(0, n - 1, min(limit, n)).round().astype(np.int64)
        self._checked: Subject | None = None

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.sequences)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Which text, cut how, as plain values."""
        of = len(self.packing)
        return {**self.text.facts, "seq_len": self.packing.seq_len, "rows": self.size, "of_rows": of}

    def read(self, items: Sequence[int]) -> Rows:
        """Return the rows of some items."""
        arrays = self.packing.read(self.sequences[list(items)])
        found = {name: torch.from_numpy(arrays[name]) for name in ("input_ids", "labels", "document_ids")}
        return Rows(**found)

    def shown(self, item: int) -> str:
        """Return the text of a row."""
        ids = self.packing.read(self.sequences[[item]])["input_ids"][0]
        return self.text.tokenizer.decode(ids.tolist())

    def check(self, subject: Subject) -> None:
        """Raise DataError when the text was encoded by another tokenizer, ConfigError when a row is too long."""
        if subject is self._checked:
            return
        if subject.tokenizer.fingerprint() != self.text.tokenizer.fingerprint():
            raise DataError(f"analyses.{self.name}: {subject.name} has another tokenizer than the text")
        window = subject.decoder.window
        if window is not None and self.packing.seq_len > window:
            raise ConfigError(
                f"analyses.{self.name}.seq_len={self.packing.seq_len}: the model reads {window:,} tokens at once"
            )
        self._checked = subject


class RowAnalysis(Analysis):
    """An analysis whose items are rows of text."""

    def __init__(self, name: str, rows: TextRows) -> None:
        super().__init__(name)
        self.rows = rows

    @property
    def size(self) -> int:
        """How many rows of text are read."""
        return self.rows.size

    @property
    def facts(self) -> dict[str, Any]:
        """Which text was read."""
        return dict(self.rows.facts)
