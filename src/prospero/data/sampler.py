"""The order of training sequences as a pure function of (seed, epoch, index): resuming needs one integer.

A Feistel network (Luby and Rackoff 1988) permutes the numbers below a power of two; a number that lands outside the
wanted range is permuted again until it is inside ("cycle walking", Black and Rogaway 2002). No table is kept, and any
range of positions is computed at once.
"""

from collections.abc import Iterable, Sequence

import numpy as np

ROUNDS = 6
BLOCK = 4096
"""Positions computed and kept at a time: a call on few numbers costs as much as one on thousands."""


class Permutation:
    """A permutation of range(n) chosen by `key`; called with an array of positions it returns their images."""

    def __init__(self, n: int, key: tuple[int, ...]) -> None:
        if n < 1:
            raise ValueError(f"a permutation needs at least one element, got {n}")
        self.n = n
        bits = max(2, (n - 1).bit_length())
        self._low_bits = np.uint64(bits // 2)
        self._high_bits = np.uint64(bits - bits // 2)
        self._keys = np.random.SeedSequence([part % 2**64 for part in key]).generate_state(ROUNDS, np.uint64)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Return int64 images of `positions` (each in [0, n)), each number of the range once."""
        values = self._feistel(np.asarray(positions).astype(np.uint64))
        outside = np.flatnonzero(values >= self.n)
        while len(outside):
            values[outside] = self._feistel(values[outside])
            outside = outside[values[outside] >= self.n]
        return values.astype(np.int64)

    def _feistel(self, values: np.ndarray) -> np.ndarray:
        """Permute numbers of `high_bits + low_bits` bits; halves of unequal width change places in every round."""
        high_bits, low_bits = self._high_bits, self._low_bits
        for key in self._keys:
            low = values & ((np.uint64(1) << low_bits) - np.uint64(1))
            high = values >> low_bits
            high ^= mix(low ^ key) & ((np.uint64(1) << high_bits) - np.uint64(1))
            values = (low << high_bits) | high
            high_bits, low_bits = low_bits, high_bits
        return values


class SequenceOrder:
    """Endless training order over `n` sequences: position p is sequence `p % n`-th of epoch `p // n`."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self._block_size = min(BLOCK, 16 * n)  # an epoch of few sequences needs a new permutation every few positions
        self._block = -1
        self._sequences = np.empty(0, np.int64)

    def epochs(self, positions: np.ndarray) -> np.ndarray:
        """Return the epoch of each position."""
        return np.asarray(positions, dtype=np.int64) // self.n

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Return the sequences at positions [start, stop), int64; a range may span epochs."""
        parts = []
        while start < stop:
            block, offset = divmod(start, self._block_size)
            part = self._of_block(block)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _of_block(self, block: int) -> np.ndarray:
        if block != self._block:
            positions = np.arange(block * self._block_size, (block + 1) * self._block_size, dtype=np.int64)
            epochs = positions // self.n
            images = [
                Permutation(self.n, (self.seed, int(epoch)))(positions[epochs == epoch] % self.n)
                for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
            ]
            self._sequences, self._block = np.concatenate(images), block
        return self._sequences


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 numbers (the finaliser of SplitMix64, Steele et al. 2014); sums wrap on purpose."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class SkippedRanges:
    """Ranges of positions of the training order that nobody reads: consumed sequence n lies at `positions(n, n + 1)`.

    `ranges` are [start, stop) pairs; they are sorted and joined. The state is the list itself.
    """

    def __init__(self, ranges: Iterable[Sequence[int]] = ()) -> None:
        self.ranges: list[list[int]] = []
        for start, stop in sorted((int(start), int(stop)) for start, stop in ranges):
            if self.ranges and start <= self.ranges[-1][1]:
                self.ranges[-1][1] = max(stop, self.ranges[-1][1])
            elif stop > start:
                self.ranges.append([start, stop])

    def positions(self, start: int, stop: int) -> np.ndarray:
        """Return the positions, int64, of the consumed sequences [start, stop)."""
        found = np.arange(start, stop, dtype=np.int64)
        for first, last in self.ranges:
            found[found >= first] += last - first
        return found

    def runs(self, start: int, stop: int) -> list[list[int]]:
        """Return the same positions as [start, stop) pairs without gaps."""
        found = self.positions(start, stop)
        breaks = np.flatnonzero(np.diff(found) != 1) + 1
        return [[int(part[0]), int(part[-1]) + 1] for part in np.split(found, breaks) if len(part)]
