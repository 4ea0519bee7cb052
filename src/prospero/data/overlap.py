"""Which runs of n tokens of given texts stand in training text: by hashes, in one pass over its shards.

The given texts are few and the training text is long, so the runs of the texts are the index, and the training text
streams past it: memory depends on the texts alone. A run is known by 64 bits; among 10^6 runs wanted and 10^10 read, a
false match comes once in two thousand passes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from prospero.data.cleaning.words import word_pattern
from prospero.data.shards import TokenShards
from prospero.data.tokenizer.tokenizer import Tokenizer

BLOCK = 2**20
"""Tokens that are read at a time."""
_FACTOR = np.uint64(0xD1342543DE82EF95)
_FILTER_BITS = 20
_SHIFT = np.uint64(64 - _FILTER_BITS)


def run_hashes(ids: np.ndarray, n: int) -> np.ndarray:
    """Return a hash of each run of `n` neighbours of ids [T], uint64 [T - n + 1]; of a shorter text none."""
    if len(ids) < n:
        return np.zeros(0, np.uint64)
    mixed, count = _mixed(ids.astype(np.uint64)), len(ids) - n + 1
    found = np.zeros(count, np.uint64)
    for place in range(n):
        found = found * _FACTOR + mixed[place : place + count]
    return found


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def blocks(shards: TokenShards, n: int, most_tokens: int | None = None) -> Iterator[np.ndarray]:
    """Yield the tokens of a split in blocks that overlap so far that no run of `n` is cut.

    Of more than `most_tokens` as many blocks are read, spread evenly.
    """
    starts = np.arange(0, max(1, shards.n_tokens), BLOCK)
    if most_tokens is not None and shards.n_tokens > most_tokens:
        starts = starts[np.linspace(0, len(starts) - 1, max(1, most_tokens // BLOCK)).round().astype(np.int64)]
    for start in starts.tolist():
        yield shards.tokens(start, start + BLOCK + n - 1)


class WordNumbers:
    """Texts as numbers of their words, letters' case and all but letters, digits and underscores left out.

    Of scripts that set no spaces between words each letter is one.
    Words of the wanted texts have a number each; all others are 0, which no wanted text holds.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def wanted(self, text: str) -> np.ndarray:
        """Return the numbers of a wanted text's words, new ones for those that are new."""
        low = text.casefold()
        words = word_pattern(low).findall(low)
        return np.array([self._numbers.setdefault(word, len(self._numbers) + 1) for word in words], np.int64)

    def of(self, text: str) -> np.ndarray:
        """Return the numbers of any text's words."""
        low = text.casefold()
        words = word_pattern(low).findall(low)
        return np.fromiter(map(self._numbers.get, words, repeat(0)), np.int64, len(words))

    @staticmethod
    def places(text: str) -> list[tuple[int, int]]:
        """Return where each of a text's words begins and ends in it, in characters."""
        ends = np.cumsum([0, *(len(sign.casefold()) for sign in text)])  # a letter's small form may be two letters
        low = text.casefold()
        found = [match.span() for match in word_pattern(low).finditer(low)]
        starts = np.searchsorted(ends, [start for start, _ in found], side="right") - 1
        stops = np.searchsorted(ends, [end for _, end in found], side="left")
        return list(zip(starts.tolist(), stops.tolist()))

    def blocks(self, shards: TokenShards, tokenizer: Tokenizer, most_tokens: int | None) -> Iterator[np.ndarray]:
        """Yield the words of a split, some documents at a time; of more than `most_tokens` those of the first."""
        ends, first, start = shards.document_ends, 0, 1
        while first < len(ends) and (most_tokens is None or start < most_tokens):
            last = max(first + 1, int(np.searchsorted(ends, start + BLOCK)))
            stops = [int(end) for end in ends[first:last]]
            texts = [tokenizer.decode(shards.tokens(*place)) for place in zip([start, *stops[:-1]], stops)]
            apart = np.zeros(1, np.int64)  # no run goes on from one document to the next
            yield np.concatenate([part for text in texts for part in (self.of(text), apart)])
            first, start = last, stops[-1]


class RunIndex:
    """The hashes of wanted runs, to be found among those of other text."""

    def __init__(self, wanted: np.ndarray) -> None:
        """Index the hashes `wanted` [W], uint64, as `run_hashes` makes them."""
        self.ordered, self.first, self.inverse = np.unique(wanted, return_index=True, return_inverse=True)
        self._near = np.zeros(2**_FILTER_BITS, bool)
        self._near[self.ordered >> _SHIFT] = True

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the `hashes` are wanted: their places, and for each its place in `ordered`."""
        if not len(self.ordered):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        near = np.flatnonzero(self._near[hashes >> _SHIFT])
        places = np.minimum(np.searchsorted(self.ordered, hashes[near]), len(self.ordered) - 1)
        same = self.ordered[places] == hashes[near]
        return near[same], places[same]


def seen(blocks: Iterator[np.ndarray], wanted: np.ndarray, n: int) -> np.ndarray:
    """Return how often each of the hashes `wanted` [W], uint64, is one of a run of `n` in the blocks, int64 [W]."""
    index = RunIndex(wanted)
    counts = np.zeros(len(index.ordered), np.int64)
    if not len(counts):
        return counts
    for block in blocks:
        np.add.at(counts, index.find(run_hashes(block, n))[1], 1)
    return counts[index.inverse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How much of one text stands in the training text."""

    length: int
    """Tokens or words of the text."""
    covered: int
    """Those of them that lie in a run that stands there."""
    longest: int
    """Of them the most in a row."""

    @property
    def share(self) -> float:
        """Part of the text that is covered; 0 for an empty one."""
        return self.covered / self.length if self.length else 0.0


def overlaps(texts: Sequence[np.ndarray], blocks: Iterator[np.ndarray], n: int) -> list[Overlap]:
    """Return for each text, as ids, what of it lies in runs of `n` ids that stand in the blocks.

    A text shorter than `n` has no such run, and nothing of it is covered.
    """
    hashes = [run_hashes(ids, n) for ids in texts]
    found = seen(blocks, np.concatenate([np.zeros(0, np.uint64), *hashes]), n) > 0
    results, start = list[Overlap](), 0
    for ids, of_text in zip(texts, hashes):
        lengths = [end - begin for begin, end in stretches(np.flatnonzero(found[start : start + len(of_text)]), n)]
        start += len(of_text)
        results.append(Overlap(length=len(ids), covered=sum(lengths), longest=max(lengths, default=0)))
    return results


def stretches(places: np.ndarray, n: int) -> list[tuple[int, int]]:
    """Return the stretches [begin, end) that runs of `n` cover which begin at the ascending `places`."""
    if not len(places):
        return []
    apart = np.flatnonzero(np.diff(places) > n)
    begins, lasts = places[np.r_[0, apart + 1]], places[np.r_[apart, len(places) - 1]]
    return [(int(begin), int(last) + n) for begin, last in zip(begins, lasts)]
