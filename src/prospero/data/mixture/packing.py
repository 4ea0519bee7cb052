"""The sequences of a mixture's training split: each part packed by itself, so that no sequence holds two of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prospero.data.packing.packing import Packing
from prospero.data.shards import TokenShards


class PartShards(TokenShards):
    """Documents [first, last) of other shards, as shards of their own; nothing is copied but the document ends."""

    def __init__(self, whole: TokenShards, first: int, last: int, *, n_bytes: int, n_characters: int) -> None:
        self.path, self.targets_path = whole.path, whole.targets_path
        self.documents_per_example, self.bytes_per_id = whole.documents_per_example, whole.bytes_per_id
        self.n_bytes, self.n_characters = n_bytes, n_characters
        self.whole, self.first, self.last = whole, first, last
        self._cut()

    def _cut(self) -> None:
        ends = self.whole.document_ends
        before = int(ends[self.first - 1]) - 1 if self.first else 0  # where the separator before them stands
        last = int(ends[self.last - 1])
        self.n_tokens, self.n_documents = last - before, self.last - self.first
        self.all_tokens = self.whole.all_tokens[before:last]
        self.document_ends = ends[self.first : self.last] - np.uint64(before)
        self.document_sources = self.whole.document_sources[self.first : self.last]
        self.targets = None if self.whole.targets is None else self.whole.targets[before:last]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cut()


class MixturePacking:
    """The sequences of all parts in one row; those of part k have the numbers [starts[k], starts[k + 1])."""

    def __init__(self, parts: Sequence[Packing], first_documents: Sequence[int]) -> None:
        self.parts, self.seq_len = list(parts), parts[0].seq_len
        self.first_documents = list(first_documents)
        self.starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)

    @property
    def lengths(self) -> list[int]:
        """The sequences of each part."""
        return [len(part) for part in self.parts]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return input_ids and labels, int64 [B, T], and document_ids, int32 [B, T], of the sequences `indices` [B]."""
        found: dict[str, np.ndarray] = {}
        for rows, part, inside in self._by_part(indices):
            for name, array in part.read(inside).items():
                if name not in found:
                    found[name] = np.empty((len(indices), *array.shape[1:]), array.dtype)
                found[name][rows] = array
        return found

    def target_counts(self, indices: np.ndarray) -> np.ndarray:
        """Return int64 [B]: the targets in each sequence."""
        return self._gathered(indices, lambda part, inside: part.target_counts(inside), np.dtype(np.int64), ())

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers, in their split, of the documents that the sequences `indices` hold targets of, sorted."""
        number = {id(part): first for part, first in zip(self.parts, self.first_documents)}
        parts = [part.documents(inside) + number[id(part)] for _, part, inside in self._by_part(indices)]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def source_ids(self, indices: np.ndarray) -> np.ndarray:
        """Return int32 [B, T]: for each position the part in which its target stands."""
        return self._gathered(indices, lambda part, at: part.source_ids(at), np.dtype(np.int32), (self.seq_len,))

    def _gathered(
        self,
        indices: np.ndarray,
        ask: Callable[[Packing, np.ndarray], np.ndarray],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
    ) -> np.ndarray:
        found = np.empty((len(indices), *shape), dtype)
        for rows, part, inside in self._by_part(indices):
            found[rows] = ask(part, inside)
        return found

    def _by_part(self, indices: np.ndarray) -> list[tuple[np.ndarray, Packing, np.ndarray]]:
        """Return, for each part that is among `indices`, their places, the part, and their numbers in it."""
        indices = np.asarray(indices, dtype=np.int64)
        places = np.searchsorted(self.starts, indices, side="right") - 1
        found = []
        for place in np.unique(places).tolist():
            rows = np.flatnonzero(places == place)
            found.append((rows, self.parts[place], indices[rows] - self.starts[place]))
        return found
