"""Concat and chop: the split as one long row of tokens, cut each `seq_len` tokens (as GPT-2 and nanoGPT train)."""

from dataclasses import dataclass

import numpy as np

from prospero.batch import IGNORE_INDEX
from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class ConcatPackingConfig:
    """No padding but in the last sequence; documents are cut wherever the sequence ends."""

    def build(self, shards: TokenShards, seq_len: int) -> "ConcatPacking":
        """Return the sequences of `shards`."""
        return ConcatPacking(shards, seq_len)


class ConcatPacking:
    """Sequence i covers tokens [i * T, i * T + T + 1); the last one is padded.

    Labels run over document bounds: the first token of a document is predicted from the separator before it.
    """

    def __init__(self, shards: TokenShards, seq_len: int) -> None:
        self.shards, self.seq_len = shards, seq_len
        self._targets = shards.n_tokens - 1
        self._length = -(-self._targets // seq_len)
        self._window = np.arange(seq_len + 1, dtype=np.int64)
        self._marked: np.ndarray | None = None  # targets in each sequence, where not every token is one
        if shards.targets is not None:
            marks = np.zeros(self._length * seq_len, dtype=np.bool_)
            marks[: self._targets] = shards.targets[1:]
            self._marked = marks.reshape(-1, seq_len).sum(axis=1, dtype=np.int64)

    def __len__(self) -> int:
        return self._length

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return input_ids and labels, int64 [B, T], and document_ids, int32 [B, T], of the sequences `indices` [B]."""
        starts = np.asarray(indices, dtype=np.int64) * self.seq_len
        positions = starts[:, None] + self._window  # [B, T + 1]
        short = positions[:, -1].max(initial=0) > self._targets
        tokens = self.shards.all_tokens[np.minimum(positions, self._targets) if short else positions].astype(np.int64)
        labels = tokens[:, 1:].copy()  # not a view of the inputs: callers may write into either
        if short:
            labels[positions[:, 1:] > self._targets] = IGNORE_INDEX
        if self.shards.targets is not None:
            labels[~self.shards.targets[np.minimum(positions[:, 1:], self._targets)]] = IGNORE_INDEX
        return {"input_ids": tokens[:, :-1].copy(), "labels": labels, "document_ids": self._document_ids(starts)}

    def target_counts(self, indices: np.ndarray) -> np.ndarray:
        """Return int64 [B]: the targets in each sequence."""
        indices = np.asarray(indices, dtype=np.int64)
        if self._marked is not None:
            return self._marked[indices]
        return np.minimum(self.seq_len, self._targets - indices * self.seq_len)

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers, in their split, of the documents that the sequences `indices` hold targets of, sorted."""
        starts = np.asarray(indices, dtype=np.int64) * self.seq_len
        ends = self.shards.document_ends
        targets = (starts + 1, np.minimum(starts + self.seq_len, self._targets))  # the first and the last of each
        first, last = (np.searchsorted(ends, place.astype(ends.dtype), side="right") for place in targets)
        parts = [np.arange(a, b + 1) for a, b in zip(first, last)]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def source_ids(self, indices: np.ndarray) -> np.ndarray:
        """Return int32 [B, T]: for each position the source of the document in which its target stands."""
        starts = np.asarray(indices, dtype=np.int64) * self.seq_len
        targets = np.minimum(starts[:, None] + self._window[1:], self._targets)  # the padding is given the last one's
        ends = self.shards.document_ends
        documents = np.searchsorted(ends, targets.astype(ends.dtype), side="right")  # [B, T]
        return self.shards.document_sources[documents].astype(np.int32)

    def _document_ids(self, starts: np.ndarray) -> np.ndarray:
        """Count, for each position, the separators from the sequence's second position up to it."""
        ids = np.zeros((len(starts), self.seq_len), dtype=np.int32)
        ends = self.shards.document_ends
        # An end e is the position after a separator, so the next document begins, as an input, at e - 1.
        first = np.searchsorted(ends, starts + 1, side="right")
        last = np.searchsorted(ends, starts + self.seq_len, side="right")
        for row in np.flatnonzero(last > first):
            ids[row, ends[first[row] : last[row]].astype(np.int64) - 1 - starts[row]] = 1
        return np.cumsum(ids, axis=1, dtype=np.int32)
