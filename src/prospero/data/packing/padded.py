"""One document a sequence, padded at its end: nothing of another document comes before a token, whatever the model."""

from dataclasses import dataclass

import numpy as np

from prospero.data.packing.best_fit import LongDocuments, PiecePacking, pieces_with_targets
from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class PaddedPackingConfig:
    """Each document in a sequence of its own."""

    long_documents: LongDocuments = LongDocuments.cut
    """Documents longer than a sequence: cut into pieces (nothing is lost), drop, or keep_end (of an example the
    prompt's beginning leaves, the answer stays)."""

    def build(self, shards: TokenShards, seq_len: int) -> PiecePacking:
        """Return the sequences of `shards`."""
        starts, lengths = pieces_with_targets(shards, seq_len, self.long_documents)
        return PiecePacking(shards, seq_len, starts, lengths, np.arange(len(starts)), len(starts))
