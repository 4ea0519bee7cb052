"""Which text trains and which measures: by a hash of each document, or by position in one long text."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from prospero.errors import ConfigError

SPLITS = ("train", "val", "test")
_KEY_KIND = "blake2b-64:"
_KEY = re.compile(rf"{_KEY_KIND}[0-9a-f]{{16}}")


@dataclass(slots=True)
class Piece:
    """A run of text that goes into one split; `ends` is false when the document goes on in the next split."""

    split: str
    text: str
    ends: bool = True


@dataclass(slots=True)
class CorpusSize:
    """How much cleaned text there is."""

    documents: int = 0
    characters: int = 0


def key_of(text: str) -> str:
    """Return a few characters that `HashSplit` sends where it sends `text`: a key for what is cut from a long text."""
    return _KEY_KIND + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Split(Protocol):
    """A rule that sends text to splits."""

    needs_size: bool
    """Whether the rule must know the size of the whole corpus first."""
    makes_test: bool
    """Whether text is meant to be kept for the final test."""

    def pieces(self, text: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """Yield where a document goes that begins at character `start` of the corpus."""
        ...


@dataclass(kw_only=True, slots=True)
class HashSplitConfig:
    """By a hash of the document's cleaned text: copies never cross, and nothing moves when data are added."""

    val_fraction: float = 0.05
    """Share of the documents that is kept for validation."""
    test_fraction: float = 0.05
    """Share of the documents that is kept for the final test; 0 leaves the test out."""

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)

    def build(self) -> "HashSplit":
        """Return the rule."""
        return HashSplit(self.val_fraction, self.test_fraction)


@dataclass(kw_only=True, slots=True)
class TailSplitConfig:
    """By position: the last characters of the corpus, in the order it is read, for one long document."""

    val_fraction: float = 0.1
    """Share of the characters, after the training text, that is kept for validation."""
    test_fraction: float = 0.0
    """Share of the characters at the very end that is kept for the final test; 0 leaves the test out."""

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)

    def build(self) -> "TailSplit":
        """Return the rule."""
        return TailSplit(self.val_fraction, self.test_fraction)


@dataclass(kw_only=True, slots=True)
class AutoSplitConfig:
    """By hash where there are many documents, by position where there are few (or one)."""

    val_fraction: float = 0.05
    """Share that is kept for validation."""
    test_fraction: float = 0.05
    """Share that is kept for the final test; 0 leaves the test out."""
    min_documents: int = 100
    """Documents from which the hash is used; among fewer, one split could get none."""

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)

    def build(self) -> "AutoSplit":
        """Return the rule."""
        return AutoSplit(self.val_fraction, self.test_fraction, self.min_documents)


class HashSplit:
    """A document goes where the first 64 bits of its BLAKE2b hash, read as a number in [0, 1), fall."""

    needs_size = False

    def __init__(self, val_fraction: float, test_fraction: float) -> None:
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self.makes_test = test_fraction > 0

    def pieces(self, text: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """Yield the whole document; the first `test_fraction` of hashes is test, the next `val_fraction` is val."""
        key = text if _KEY.fullmatch(text) else key_of(text)
        place = int(key.removeprefix(_KEY_KIND), 16) / 2**64
        if place < self.test_fraction:
            yield Piece("test", text)
        elif place < self.test_fraction + self.val_fraction:
            yield Piece("val", text)
        else:
            yield Piece("train", text)


class TailSplit:
    """The corpus as one text: the first `int(train_fraction * n)` characters train, as nanoGPT cuts it."""

    needs_size = True

    def __init__(self, val_fraction: float, test_fraction: float) -> None:
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self.makes_test = test_fraction > 0

    def bounds(self, total: int) -> list[int]:
        """Return where train, val and test end, in characters."""
        train = round(1 - self.val_fraction - self.test_fraction, 12)
        known = round(1 - self.test_fraction, 12)
        return [int(train * total), int(known * total), total]

    def pieces(self, text: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """Yield the parts of a document on each side of the bounds that cut it."""
        stop = start + len(text)
        before = 0
        for split, bound in zip(SPLITS, self.bounds(corpus.characters)):
            first, last = max(start, before), min(stop, bound)
            if first < last:
                yield Piece(split, text[first - start : last - start], ends=last == stop)
            before = bound


class AutoSplit:
    """`HashSplit` for at least `min_documents` documents, else `TailSplit`."""

    needs_size = True

    def __init__(self, val_fraction: float, test_fraction: float, min_documents: int) -> None:
        self.by_hash = HashSplit(val_fraction, test_fraction)
        self.by_position = TailSplit(val_fraction, test_fraction)
        self.min_documents = min_documents
        self.makes_test = test_fraction > 0

    def pieces(self, text: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """Yield where the chosen rule sends the document."""
        rule = self.by_hash if corpus.documents >= self.min_documents else self.by_position
        return rule.pieces(text, start, corpus)


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Raise `ConfigError` unless something is left to train on and something to validate on."""
    if not 0 < val_fraction < 1:
        raise ConfigError(f"split.val_fraction={val_fraction} must lie between 0 and 1; validation needs some text")
    if not 0 <= test_fraction < 1:
        raise ConfigError(f"split.test_fraction={test_fraction} must be 0 (no test) or lie between 0 and 1")
    if val_fraction + test_fraction >= 1:
        raise ConfigError(
            f"split.val_fraction={val_fraction} and split.test_fraction={test_fraction} leave nothing to train"
        )
