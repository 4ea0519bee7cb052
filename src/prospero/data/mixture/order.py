"""The training order of a mixture: which part's which sequence stands at each position, a pure function of it.

Position p belongs to step p // global batch. `Quotas` says how many sequences of each part the step reads; each part
has an order of its own (`SequenceOrder`), of which they are the next ones; within the step they are shuffled, so that
no rank and no micro-batch gets one part alone.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from prospero.data.mixture.quotas import Quotas
from prospero.data.sampler import Permutation, SequenceOrder

SHUFFLE = 0x5EED
"""Keeps the key of the shuffle within a step apart from the parts' own."""


class MixtureOrder:
    """As `SequenceOrder`, over the sequences of all parts in one row: those of part k begin at `starts[k]`."""

    def __init__(self, names: Sequence[str], lengths: Sequence[int], quotas: Quotas, seed: int) -> None:
        self.quotas, self.seed, self.size = quotas, seed, quotas.step_size
        self.lengths = tuple(lengths)
        self.starts = np.concatenate([[0], np.cumsum(lengths)])[:-1].astype(np.int64)
        self._orders = [SequenceOrder(n, seed + (zlib.crc32(name.encode()) << 32)) for name, n in zip(names, lengths)]
        self._step = -1
        self._sequences, self._epochs = np.empty(0, np.int64), np.empty(0, np.int64)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Return the sequences at positions [start, stop), int64."""
        parts = []
        while start < stop:
            step, offset = divmod(start, self.size)
            part = self._of_step(step)[0][offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def epochs(self, positions: np.ndarray) -> np.ndarray:
        """Return, for each position, how often its part was read to the end before."""
        steps, offsets = np.divmod(np.asarray(positions, dtype=np.int64), self.size)
        found = np.empty(len(steps), np.int64)
        for step in np.unique(steps).tolist():
            here = steps == step
            found[here] = self._of_step(step)[1][offsets[here]]
        return found

    def _of_step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the sequences of a step and their epochs."""
        if step != self._step:
            before, after = self.quotas.taken(step), self.quotas.taken(step + 1)
            rows = [start + order(a, b) for start, order, a, b in zip(self.starts, self._orders, before, after)]
            epochs = [np.arange(a, b, dtype=np.int64) // n for a, b, n in zip(before, after, self.lengths)]
            places = Permutation(self.size, (self.seed, step, SHUFFLE))(np.arange(self.size))
            self._sequences, self._epochs = np.concatenate(rows)[places], np.concatenate(epochs)[places]
            self._step = step
        return self._sequences, self._epochs
