"""Best-fit-decreasing packing (Ding et al. 2024, "Fewer truncations improve language modeling", arXiv:2404.10830).

Whole documents are laid into sequences so that little room is left; only documents longer than a sequence are cut.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from prospero.batch import IGNORE_INDEX
from prospero.data.shards import TokenShards
from prospero.errors import DataError
from prospero.log import log


class LongDocuments(Enum):
    """What becomes of documents that are longer than a sequence."""

    cut = "cut"
    drop = "drop"
    keep_end = "keep_end"


@dataclass(kw_only=True, slots=True)
class BestFitPackingConfig:
    """Whole documents, longest first, each into the fullest sequence that still holds it; gaps are padded."""

    long_documents: LongDocuments = LongDocuments.cut
    """Documents longer than a sequence: cut into pieces (nothing is lost), drop, or keep_end (of an example the
    prompt's beginning leaves, the answer stays)."""

    def build(self, shards: TokenShards, seq_len: int) -> "PiecePacking":
        """Return the sequences of `shards`."""
        starts, lengths = pieces_with_targets(shards, seq_len, self.long_documents)
        bins, n_bins = best_fit_decreasing(lengths, seq_len)
        return PiecePacking(shards, seq_len, starts, lengths, bins, n_bins)


class PiecePacking:
    """Sequences made of pieces of documents, which `bins` puts together.

    Each piece of a document is predicted from the token before it: a separator, or where a long one was cut.

    No label crosses a document bound. The order is a function of the document lengths alone.
    """

    def __init__(
        self, shards: TokenShards, seq_len: int, starts: np.ndarray, lengths: np.ndarray, bins: np.ndarray, n_bins: int
    ) -> None:
        """Take the first target and the number of targets of each piece, the sequence that it goes to, and how many."""
        self.shards, self.seq_len = shards, seq_len
        order = np.argsort(bins, kind="stable")  # pieces of a sequence side by side, in the order of the text
        self._starts, self._lengths = starts[order], lengths[order]
        counts = np.bincount(bins, minlength=n_bins)
        self._first = np.concatenate([[0], np.cumsum(counts)])  # sequence i holds pieces first[i] : first[i + 1]
        self._filled = np.bincount(bins, weights=lengths, minlength=n_bins).astype(np.int64)
        self._targets = self._filled
        if shards.targets is not None:
            marks = shards.targets[np.repeat(self._starts, self._lengths) + _runs(self._lengths)]
            of_pieces = _sums(marks, self._lengths)
            self._targets = np.bincount(bins[order], weights=of_pieces, minlength=n_bins).astype(np.int64)

    def __len__(self) -> int:
        return len(self._filled)

    @property
    def padding(self) -> float:
        """The share of all positions that hold no text."""
        return 1.0 - float(self._filled.sum()) / (len(self) * self.seq_len)

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return input_ids and labels, int64 [B, T], and document_ids, int32 [B, T], of the sequences `indices` [B]."""
        indices = np.asarray(indices, dtype=np.int64)
        n_pieces, pieces, target = self._laid_out(indices)
        lengths, place = self._lengths[pieces], _runs(n_pieces)  # which piece of its sequence
        source = np.repeat(self._starts[pieces], lengths) + _runs(lengths)
        shape = (len(indices), self.seq_len)
        tokens = self.shards.all_tokens
        input_ids = np.full(shape, int(tokens[0]), dtype=np.int64)  # the gaps hold separators, which nobody predicts
        labels = np.full(shape, IGNORE_INDEX, dtype=np.int64)
        document_ids = np.broadcast_to(n_pieces[:, None], shape).astype(np.int32)
        input_ids.ravel()[target] = tokens[source - 1]
        labels.ravel()[target] = tokens[source]
        if self.shards.targets is not None:
            labels.ravel()[target[~self.shards.targets[source]]] = IGNORE_INDEX
        document_ids.ravel()[target] = np.repeat(place, lengths)
        return {"input_ids": input_ids, "labels": labels, "document_ids": document_ids}

    def _laid_out(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return how many pieces each sequence has, all of them, and the places in [B x T] that they fill, in order."""
        n_pieces = self._first[indices + 1] - self._first[indices]
        pieces = np.repeat(self._first[indices], n_pieces) + _runs(n_pieces)
        counts = self._filled[indices]
        return n_pieces, pieces, np.repeat(np.arange(len(indices)) * self.seq_len, counts) + _runs(counts)

    def target_counts(self, indices: np.ndarray) -> np.ndarray:
        """Return int64 [B]: the targets in each sequence."""
        return self._targets[np.asarray(indices, dtype=np.int64)]

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers, in their split, of the documents that the sequences `indices` hold targets of, sorted."""
        _, pieces, _ = self._laid_out(np.asarray(indices, dtype=np.int64))
        return np.unique(self._documents_of(pieces))

    def source_ids(self, indices: np.ndarray) -> np.ndarray:
        """Return int32 [B, T]: for each position the source of the document in which its target stands."""
        indices = np.asarray(indices, dtype=np.int64)
        _, pieces, target = self._laid_out(indices)
        ids = np.zeros((len(indices), self.seq_len), dtype=np.int32)
        sources = self.shards.document_sources[self._documents_of(pieces)].astype(np.int32)
        ids.ravel()[target] = np.repeat(sources, self._lengths[pieces])
        return ids

    def _documents_of(self, pieces: np.ndarray) -> np.ndarray:
        ends = self.shards.document_ends
        return np.searchsorted(ends, self._starts[pieces].astype(ends.dtype), side="right")


def pieces_with_targets(
    shards: TokenShards, seq_len: int, long_documents: LongDocuments = LongDocuments.cut
) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, lengths) of what is left of the documents, without the pieces that hold no target.

    What happens to long ones is said, of text only where some of it is left out. Raises DataError when nothing is left.
    """
    starts, lengths = whole_documents(shards.document_ends)
    is_long = lengths > seq_len
    if long_documents is LongDocuments.cut:
        starts, lengths = cut_documents(shards.document_ends, seq_len)
    elif long_documents is LongDocuments.drop:
        starts, lengths = starts[~is_long], lengths[~is_long]
    else:
        starts = np.where(is_long, starts + lengths - seq_len, starts)
        lengths = np.minimum(lengths, seq_len)
    if shards.targets is not None:
        counted = np.concatenate([[0], np.cumsum(shards.targets, dtype=np.int64)])
        kept = counted[starts + lengths] > counted[starts]
        starts, lengths = starts[kept], lengths[kept]
    if is_long.any() and (shards.targets is not None or long_documents is not LongDocuments.cut):
        _say(shards, seq_len, long_documents, int(is_long.sum()), starts, lengths)
    return starts, lengths


def _say(
    shards: TokenShards, seq_len: int, chosen: LongDocuments, n_long: int, starts: np.ndarray, lengths: np.ndarray
) -> None:
    """Say in one line what became of long documents, or raise DataError when nothing is left."""
    what = "examples" if shards.targets is not None else "documents"
    found = f"{n_long:,} of {shards.n_documents:,} {what} are longer than seq_len={seq_len}"
    if not len(starts):
        raise DataError(
            f"{shards.path.stem}: {found}, and packing.long_documents={chosen.name} leaves nothing; raise seq_len, or "
            "choose another"
        )
    marks = np.ones(shards.n_tokens, np.bool_) if shards.targets is None else shards.targets
    counted = np.concatenate([[0], np.cumsum(marks, dtype=np.int64)])
    lost = int(counted[-1] - (shards.targets is None) - (counted[starts + lengths] - counted[starts]).sum())
    done = {"cut": "cut into pieces", "drop": "dropped", "keep_end": "read from their ends back"}[chosen.name]
    log.info("%s: %s; %s (packing.long_documents=%s), %s targets lost", shards.path.stem, found, done, chosen.name,
             f"{lost:,}")  # fmt: skip


def whole_documents(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, lengths), int64, of the documents."""
    stops = ends.astype(np.int64)
    starts = np.concatenate([[1], stops[:-1]])
    return starts, stops - starts


def cut_documents(ends: np.ndarray, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, lengths), int64, of the documents, those longer than `seq_len` cut into runs of it and a rest."""
    starts, lengths = whole_documents(ends)
    stops = starts + lengths
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


def _sums(marks: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return how many of the first, second, ... `lengths` marks are set."""
    sums = np.concatenate([[0], np.cumsum(marks, dtype=np.int64)])
    ends = np.cumsum(lengths)
    return sums[ends] - sums[ends - lengths]


def _runs(lengths: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... lengths[0]-1, 0, 1, ... lengths[1]-1, and so on."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
