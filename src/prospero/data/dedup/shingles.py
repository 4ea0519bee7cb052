"""Texts as sets of shingles: every run of n words, or of n characters, as a hash of 64 bits."""

import re
from hashlib import blake2b

import numpy as np

from prospero.data.cleaning.words import letters_of_scripts_without_spaces
from prospero.data.sampler import mix

REMEMBERED = 2**16
"""Words whose hash is kept; a text has few others."""
FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Words:
    """Hashes of the runs of `n` words, in lower case, without signs; letters of scripts without spaces are words."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._pattern = re.compile(
            rf"[{letters_of_scripts_without_spaces()}]|[^\W{letters_of_scripts_without_spaces()}]+"
        )
        self._known: dict[str, int] = {}

    def __call__(self, text: str) -> np.ndarray:
        """Return the hashes, uint64 [k]; of a text of fewer words that of all; none of one without words."""
        known = self._known
        words = self._pattern.findall(text.lower()) if not text.isascii() else _ASCII.findall(text.lower())
        if len(known) > REMEMBERED:
            known.clear()
        for word in set(words).difference(known):
            known[word] = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        return runs(np.fromiter(map(known.__getitem__, words), np.uint64, len(words)), self.n)


_ASCII = re.compile(r"\w+", re.ASCII)


class Characters:
    """Hashes of the runs of `n` characters, in lower case, white space as one space."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, text: str) -> np.ndarray:
        """Return the hashes, uint64 [k]; of a shorter text that of all."""
        text = " ".join(text.lower().split())
        return runs(mix(np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)), self.n)


def runs(hashes: np.ndarray, n: int) -> np.ndarray:
    """Return a hash of every run of `n` of `hashes`, uint64 [max(1, k - n + 1)], the order in it counts."""
    n = min(n, len(hashes))
    if n == 0:
        return hashes
    found = np.zeros(len(hashes) - n + 1, np.uint64)
    for place in range(n):  # Horner's rule; products wrap on purpose
        found = found * FACTOR + hashes[place : len(hashes) - n + 1 + place]
    return mix(found)
