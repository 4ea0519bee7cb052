"""The texts that analyses read unless they are given others: those that the model did not train on."""

from dataclasses import dataclass

import numpy as np

from prospero.data.prepare import open_prepared
from prospero.errors import DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.tasks.embedded.documents import unseen_documents

MOST_SEQ_LEN = 512
"""Tokens of a row at most, unless another length is asked for."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of tokens of equal length, and where they are from."""

    ids: np.ndarray
    """int64 [n, T]."""
    facts: dict[str, str]


def held_out_rows(name: str, facts: AnalysisFacts, *, limit: int, seq_len: int | None = None) -> Rows:
    """Return at most `limit` rows of `seq_len` tokens, spread evenly over the held-out text of the model's own data.

    Without its data they are of the documents of Python's library that a default run holds out. DataError where there
    is not one whole row of text.
    """
    length = seq_len or min(facts.seq_len or MOST_SEQ_LEN, MOST_SEQ_LEN)
    if facts.data is not None:
        prepared = open_prepared(facts.data)
        if "val" in prepared.splits:
            shards = prepared.splits["val"]
            rows = _rows(np.asarray(shards.all_tokens), length, limit)
            if len(rows):
                return Rows(rows, {"data": prepared.fingerprint, "split": "val"})
    documents = unseen_documents(facts.data)
    ids: list[int] = []
    for document in documents.documents:
        ids += facts.tokenizer.encode(document.text)
        if len(ids) >= 4 * limit * length:
            break
    rows = _rows(np.asarray(ids), length, limit)
    if not len(rows):
        raise DataError(f"analyses.{name}: there is no text of {length} tokens to look at; give a shorter seq_len")
    return Rows(rows, {"documents": "of Python's library, held out by a default run"})


def _rows(tokens: np.ndarray, length: int, limit: int) -> np.ndarray:
    n = len(tokens) // length
    chosen = np.linspace(0, n - 1, min(limit, n)).round().astype(np.int64) if n else np.zeros(0, np.int64)
    return np.stack([tokens[i * length : (i + 1) * length] for i in chosen]).astype(np.int64) if n else chosen[:, None]
