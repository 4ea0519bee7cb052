"""What every packing offers: a fixed number of sequences, any of which can be read at once."""

from typing import Protocol

import numpy as np


class Packing(Protocol):
    """Sequences of `seq_len` positions over one split; every token but the first is a target exactly once.

    Where the shards mark their targets, the others keep their place and lose their label.
    The token at a position is the input, the next one the label; positions without a target have IGNORE_INDEX.
    Document ids count from 0 within a sequence; a separator belongs to the document that follows it.
    """

    seq_len: int

    def __len__(self) -> int: ...

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return input_ids and labels, int64 [B, T], and document_ids, int32 [B, T], of the sequences `indices` [B]."""
        ...

    def target_counts(self, indices: np.ndarray) -> np.ndarray:
        """Return int64 [B]: the targets in each sequence."""
        ...

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers, in their split, of the documents that the sequences `indices` hold targets of, sorted."""
        ...

    def source_ids(self, indices: np.ndarray) -> np.ndarray:
        """Return int32 [B, T]: for each position the source of the document in which its target stands."""
        ...
