"""One document a sequence, padded at its end: nothing of another document comes before a token, whatever the model."""

from dataclasses import dataclass

import numpy as np

from prospero.data.packing.best_fit import PiecePacking, pieces_with_targets
from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class PaddedPackingConfig:
    """Each document in a sequence of its own; those longer than a sequence are cut."""

    def build(self, shards: TokenShards, seq_len: int) -> PiecePacking:
        """Return the sequences of `shards`."""
        starts, lengths = pieces_with_targets(shards, seq_len)
        return PiecePacking(shards, seq_len, starts, lengths, np.arange(len(starts)), len(starts))
