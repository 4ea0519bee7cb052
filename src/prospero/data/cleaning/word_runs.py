"""Runs of n words within a document, counted in numpy: how much of its text they cover."""

import numpy as np

from prospero.data.cleaning.step import Drop

TOP_NGRAMS = {2: 0.20, 3: 0.18, 4: 0.16}
"""Words of a run -> the largest share of characters in the most frequent one (Gopher, table A1; Dolma has them too)."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class WordRuns:
    """Words as numbers, so that runs of them are counted in numpy."""

    def __init__(self, words: list[str]) -> None:
        numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
        self.ids = np.fromiter(map(numbers.__getitem__, words), np.uint64, len(words))
        self.lengths = np.fromiter(map(len, words), np.int64, len(words))
        self.characters = max(1, int(self.lengths.sum()))
        self._scrambled = _scrambled(self.ids)
        self._hashes: list[np.ndarray] = []

    def _runs(self, n: int) -> np.ndarray:
        """Return a 64-bit hash of each run of n words; a collision has a chance of about runs^2 / 2^65."""
        while len(self._hashes) < n:  # those of n words are made of those of n - 1
            shorter = self._hashes[-1][:-1] if self._hashes else np.zeros(len(self.ids), np.uint64)
            longer = (shorter ^ self._scrambled[len(self._hashes) :]) * _FACTOR  # wraps around, as wanted
            self._hashes.append(longer ^ (longer >> np.uint64(29)))
        return self._hashes[n - 1]

    def top_ratio(self, n: int) -> float:
        """Return the share of characters within the most frequent run of n words, 0 when none comes twice."""
        if len(self.ids) < 2 * n:
            return 0.0
        runs = self._runs(n)
        different, counts = np.unique(runs, return_counts=True)
        top = int(counts.argmax())
        if counts[top] < 2:
            return 0.0
        first = int((runs == different[top]).argmax())
        return float(counts[top] * self.lengths[first : first + n].sum() / self.characters)

    def one_too_often(self) -> Drop | None:
        """Return why a document is dropped whose most frequent run of words passes its bound in `TOP_NGRAMS`."""
        for n, bound in TOP_NGRAMS.items():
            if self.top_ratio(n) > bound:
                return Drop(f"one run of {n} words too often")
        return None

    def repeated_ratio(self, n: int) -> float:
        """Return the share of characters in words of runs that came before, each word counted once."""
        if len(self.ids) < 2 * n:
            return 0.0
        runs = self._runs(n)
        in_order = np.sort(runs)
        if not (in_order[1:] == in_order[:-1]).any():
            return 0.0
        first = np.unique(runs, return_index=True)[1]
        again = np.ones(len(runs), bool)
        again[first] = False
        covered = np.zeros(len(self.ids), bool)
        for offset in range(n):
            covered[offset : offset + len(runs)] |= again
        return float(self.lengths[covered].sum() / self.characters)

    def copied_ratio(self, n: int) -> float:
        """Return the share of the characters of all runs of n words that is in runs which come more than once.

        All copies count, the first too, and a word once for each run that it is in (Dolma's way of counting).
        """
        count = len(self.ids) - n + 1
        if count < 2:
            return 0.0
        runs = self._runs(n)
        order = np.argsort(runs)
        same = runs[order[1:]] == runs[order[:-1]]
        if not same.any():
            return 0.0
        copied = np.concatenate((same, [False])) | np.concatenate(([False], same))
        ends = np.concatenate(([0], np.cumsum(self.lengths)))
        characters = ends[n:] - ends[:-n]
        return float(characters[order[copied]].sum() / max(1, int(characters.sum())))

    def follows_itself(self, times: int, longest: int) -> bool:
        """Return whether a run of 1 to `longest` words comes `times` times without anything between."""
        for n in range(1, longest + 1):
            wanted = n * (times - 1)
            if len(self.ids) < wanted + n:
                return False
            same = np.concatenate(([False], self.ids[n:] == self.ids[:-n], [False]))
            if np.count_nonzero(same) >= wanted:
                changes = np.flatnonzero(same[1:] != same[:-1])
                if len(changes) and int((changes[1::2] - changes[::2]).max()) >= wanted:
                    return True
        return False


def _scrambled(ids: np.ndarray) -> np.ndarray:
    mixed = (ids + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(31))
