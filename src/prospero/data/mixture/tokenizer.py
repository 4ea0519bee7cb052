"""The one tokenizer of all parts, where it is learnt: from each part's training text, as much of it as its share.

The text is read as it will be trained on, cleaned, without duplicates and split: each part is prepared once as bytes,
in a folder that is gone when the tokenizer is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from prospero.data.shards import TokenShards
from prospero.data.tokenizer.tokenizer import Tokenizer

BYTES = 256
"""Ids of the byte tokenizer that are text; the others are separators and control tokens."""


@dataclass(kw_only=True)
class SharedTokenizerConfig:
    """Stands in a part's settings for a tokenizer that is there: its fingerprint is all that decides the tokens."""

    fingerprint: str

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "SharedTokenizerConfig":
        """Return the settings that stand for `tokenizer`."""
        return cls(fingerprint=tokenizer.fingerprint())._holding(tokenizer)

    def _holding(self, tokenizer: Tokenizer) -> "SharedTokenizerConfig":
        self._tokenizer = tokenizer  # no setting: it would become part of a folder's name
        return self

    def build(self, texts: object) -> Tokenizer:
        """Return the tokenizer; `texts` is not read."""
        return self._tokenizer

    def needs_texts(self) -> bool:
        """Whether `build` reads the training text."""
        return False


def shared_texts(parts: Sequence[TokenShards], shares: Sequence[Fraction]) -> Iterator[str]:
    """Yield the texts of byte shards, of part k about `shares[k]` of the bytes that all have together.

    A part with less text than that gives its documents several times, one with more leaves some out, evenly spread.
    """
    total = sum(part.n_bytes for part in parts)
    for part, share in zip(parts, shares):
        wanted, seen, given = share * total / max(part.n_bytes, 1), 0, 0
        for ids in documents_of(part):
            seen += len(ids)
            while given < seen * wanted:
                yield from texts_of(ids)
                given += len(ids)


def documents_of(shards: TokenShards) -> Iterator[np.ndarray]:
    """Yield the tokens of each document."""
    start = 1
    for stop in shards.document_ends.tolist():
        yield shards.tokens(start, stop)
        start = stop


def texts_of(ids: np.ndarray) -> Iterator[str]:
    """Yield the texts between what is no byte."""
    for run in np.split(ids, np.flatnonzero(ids >= BYTES)):
        text = run[run < BYTES].astype(np.uint8).tobytes().decode("utf-8")
        if text:
            yield text
