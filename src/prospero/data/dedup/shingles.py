"""Texts as sets of shingles: every run of n words, or of n characters, as a hash of 64 bits."""

from hashlib import blake2b

import numpy as np

from prospero.data.cleaning.words import word_pattern
from prospero.data.overlap import run_hashes

REMEMBERED = 2**16
"""Words whose hash is kept; a text has few others."""


class Words:
    """Hashes of the runs of `n` words, without case and signs; letters of scripts without spaces are words."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._known: dict[str, int] = {}

    def __call__(self, text: str) -> np.ndarray:
        """Return the hashes, uint64 [k]; of a text of fewer words that of all; none of one without words."""
        known, low = self._known, text.casefold()
        words = word_pattern(low).findall(low)
        if len(known) > REMEMBERED:
            known.clear()
        for word in set(words).difference(known):
            known[word] = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        return _runs(np.fromiter(map(known.__getitem__, words), np.uint64, len(words)), self.n)


class Characters:
    """Hashes of the runs of `n` characters, without case, white space as one space."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, text: str) -> np.ndarray:
        """Return the hashes, uint64 [k]; of a shorter text that of all."""
        text = " ".join(text.casefold().split())
        return _runs(np.frombuffer(text.encode("utf-32-le"), np.uint32), self.n)


def _runs(units: np.ndarray, n: int) -> np.ndarray:
    return run_hashes(units, max(1, min(n, len(units))))
