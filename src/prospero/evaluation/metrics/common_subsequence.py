"""The longest common subsequence of words, exact, by whole rows of its table at once.

The table of two texts of 100 000 words has 10^10 cells. A row of it grows by 0 or 1 from cell to cell, so it is one
whole number, a bit a cell, and the next row is one addition (Crochemore et al. 2001; Hyyrö 2004). Python's own whole
numbers do it: half a minute for what takes cell by cell an hour.

Several sentences lie in one number beside each other, with a free bit above each that swallows its carry.
"""

import functools
from collections.abc import Hashable, Iterator, Sequence

KEPT_BITS = 2**28
"""Bits of the table held at one time on the way back; the rest is computed again."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class CommonSubsequence:
    """What `sentences` have in common with other sentences of words."""

    def __init__(self, sentences: Sequence[Sequence[Hashable]]) -> None:
        self.places: dict[Hashable, list[int]] = {}
        """Word -> its bits."""
        width, free = 0, []
        ends = []
        for sentence in sentences:
            for place, word in enumerate(sentence, start=width):
                self.places.setdefault(word, []).append(place)
            width += len(sentence) + 1
            free.append(width - 1)
            if sentence:
                ends.append(width - 2)
        self.n_bytes = (width + 7) // 8
        self.all = ((1 << width) - 1) ^ self._number(free)
        """The bits of all words."""
        self.last = self._reverse(self._number(ends))
        self.all_reversed = self._reverse(self.all)
        self.matches = functools.lru_cache(1024)(self._matches)

    def length(self, words: Sequence[Hashable]) -> int:
        """Return the sum over the sentences of the length of the longest subsequence that `words` share with each."""
        flat = self.all
        for word in words:
            if word in self.places:
                flat, _ = self._next_row(flat, self.matches(word)[0])
        return (self.all & ~flat).bit_count()

    def shared(self, words: Sequence[Hashable]) -> list[Hashable]:
        """Return those of `words` that stand in the subsequence shared with any of the sentences, in their order.

        Of several longest subsequences it is the one that rouge-score finds.
        """
        rows = [word for word in words if word in self.places]
        pointers, found = self.last, []
        for word, grows in self._rows_backwards(rows):
            matches = self.matches(word)[1]
            slides = grows & ~matches
            # To the next match towards the beginning, which lies above in a reversed number: a carry finds it.
            met = (pointers & matches) | ((slides + (pointers & slides)) & ~slides)
            pointers = (met << 1 & self.all_reversed) | (pointers & ~matches & ~grows)
            if met:
                found.append(word)
            if not pointers:
                break
        return found[::-1]

    def _rows_backwards(self, words: Sequence[Hashable]) -> Iterator[tuple[Hashable, int]]:
        """Yield the words from the last to the first with the cells, reversed, that are larger than in the row before.

        Only every so many rows are kept, and those between are computed again.
        """
        block = max(1, KEPT_BITS // (8 * self.n_bytes)) if self.n_bytes else 1
        kept, flat = [self.all], self.all
        for start in range(0, len(words) - block, block):
            for word in words[start : start + block]:
                flat, _ = self._next_row(flat, self.matches(word)[0])
            kept.append(flat)
        for number in reversed(range(len(kept))):
            flat, rows = kept[number], []
            for word in words[number * block : (number + 1) * block]:
                flat, grows = self._next_row(flat, self.matches(word)[0])
                rows.append((word, grows))
            for word, grows in reversed(rows):
                yield word, self._reverse(grows)

    def _next_row(self, flat: int, matches: int) -> tuple[int, int]:
        """Return the next row (the bits where it does not grow) and where it is larger than the row before."""
        both = flat & matches
        total = flat + both
        rest = flat ^ both
        return (total | rest) & self.all, (total ^ rest) >> 1

    def _matches(self, word: Hashable) -> tuple[int, int]:
        number = self._number(self.places[word])
        return number, self._reverse(number)

    def _number(self, places: Sequence[int]) -> int:
        digits = bytearray(self.n_bytes)
        for place in places:
            digits[place >> 3] |= 1 << (place & 7)
        return int.from_bytes(digits, "little")

    def _reverse(self, number: int) -> int:
        return int.from_bytes(number.to_bytes(self.n_bytes, "little").translate(_REVERSED), "big")
