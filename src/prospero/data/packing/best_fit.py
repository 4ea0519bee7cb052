"""Best-fit-decreasing packing (Ding et al. 2024, "Fewer truncations improve language modeling", arXiv:2404.10830).

Whole documents are laid into sequences so that little room is left; only documents longer than a sequence are cut.
"""

from dataclasses import dataclass

import numpy as np

from prospero.batch import IGNORE_INDEX
from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class BestFitPackingConfig:
    """Whole documents, longest first, each into the fullest sequence that still holds it; gaps are padded."""

    def build(self, shards: TokenShards, seq_len: int) -> "BestFitPacking":
        """Return the sequences of `shards`."""
        return BestFitPacking(shards, seq_len)


class BestFitPacking:
    """Each piece of a document is predicted from the token before it: a separator, or where a long one was cut.

    No label crosses a document bound. The order is a function of the document lengths alone.
    """

    def __init__(self, shards: TokenShards, seq_len: int) -> None:
        self.shards, self.seq_len = shards, seq_len
        starts, lengths = cut_documents(shards.document_ends, seq_len)
        bins, n_bins = best_fit_decreasing(lengths, seq_len)
        order = np.argsort(bins, kind="stable")  # pieces of a sequence side by side, in the order of the text
        self._starts, self._lengths = starts[order], lengths[order]
        counts = np.bincount(bins, minlength=n_bins)
        self._first = np.concatenate([[0], np.cumsum(counts)])  # sequence i holds pieces first[i] : first[i + 1]
        self._targets = np.bincount(bins, weights=lengths, minlength=n_bins).astype(np.int64)

    def __len__(self) -> int:
        return len(self._targets)

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return input_ids and labels, int64 [B, T], and document_ids, int32 [B, T], of the sequences `indices` [B]."""
        indices = np.asarray(indices, dtype=np.int64)
        n_pieces = self._first[indices + 1] - self._first[indices]
        place = _runs(n_pieces)  # which piece of its sequence, for all pieces of the batch
        pieces = np.repeat(self._first[indices], n_pieces) + place
        lengths = self._lengths[pieces]
        offset = _runs(lengths)  # which position of its piece, for all targets of the batch
        source = np.repeat(self._starts[pieces], lengths) + offset
        counts = self._targets[indices]
        target = np.repeat(np.arange(len(indices)) * self.seq_len, counts) + _runs(counts)
        shape = (len(indices), self.seq_len)
        tokens = self.shards.all_tokens
        input_ids = np.full(shape, int(tokens[0]), dtype=np.int64)  # the gaps hold separators, which nobody predicts
        labels = np.full(shape, IGNORE_INDEX, dtype=np.int64)
        document_ids = np.broadcast_to(n_pieces[:, None], shape).astype(np.int32)
        input_ids.ravel()[target] = tokens[source - 1]
        labels.ravel()[target] = tokens[source]
        document_ids.ravel()[target] = np.repeat(place, lengths)
        return {"input_ids": input_ids, "labels": labels, "document_ids": document_ids}

    def target_counts(self, indices: np.ndarray) -> np.ndarray:
        """Return int64 [B]: the targets in each sequence."""
        return self._targets[np.asarray(indices, dtype=np.int64)]

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers, in their split, of the documents that the sequences `indices` hold targets of, sorted."""
        indices = np.asarray(indices, dtype=np.int64)
        n_pieces = self._first[indices + 1] - self._first[indices]
        pieces = np.repeat(self._first[indices], n_pieces) + _runs(n_pieces)
        ends = self.shards.document_ends
        return np.unique(np.searchsorted(ends, self._starts[pieces].astype(ends.dtype), side="right"))


def cut_documents(ends: np.ndarray, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, lengths), int64, of the documents, those longer than `seq_len` cut into runs of it and a rest."""
    stops = ends.astype(np.int64)
    starts = np.concatenate([[1], stops[:-1]])
    lengths = stops - starts
    runs = -(-lengths // seq_len)
    offset = _runs(runs) * seq_len
    starts = np.repeat(starts, runs) + offset
    return starts, np.minimum(seq_len, np.repeat(stops, runs) - starts)


def best_fit_decreasing(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, int]:
    """Return (the bin of each item, the number of bins): longest items first, each into the fullest bin with room.

    Items of equal length are placed together, so the time grows with the number of different lengths and gaps.
    """
    bins = np.empty(len(lengths), dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    distinct, begins = np.unique(-lengths[order], return_index=True)
    gaps: dict[int, list[np.ndarray]] = {}  # room left -> bins with that room
    open_gaps = 0  # bit r is set where a bin has room r
    n_bins = 0
    for length, items in zip((-distinct).tolist(), np.split(order, begins[1:])):
        while len(items):
            fitting = open_gaps >> length
            if fitting:
                room = length + (fitting & -fitting).bit_length() - 1
                candidates = np.concatenate(gaps.pop(room))
                open_gaps &= ~(1 << room)
            else:
                room = capacity
                candidates = np.arange(n_bins, n_bins - (-len(items) // (capacity // length)))
                n_bins += len(candidates)
            each = room // length
            used = candidates[: -(-len(items) // each)]
            placed = np.repeat(used, each)[: len(items)]
            bins[items[: len(placed)]] = placed
            full, last = len(placed) // each, len(placed) % each
            left = [
                (room - each * length, used[:full]),
                (room - last * length, used[full:]),
                (room, candidates[len(used) :]),
            ]
            for rest, members in left:
                if rest and len(members):
                    gaps.setdefault(rest, []).append(members)
                    open_gaps |= 1 << rest
            items = items[len(placed) :]
    return bins, n_bins


def _runs(lengths: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... lengths[0]-1, 0, 1, ... lengths[1]-1, and so on."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
