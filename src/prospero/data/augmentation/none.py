"""The text as it is."""

from dataclasses import dataclass

import numpy as np

from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class NoAugmentationConfig:
    """No augmentation."""

    def build(self, shards: TokenShards, seed: int) -> "NoAugmentation":
        """Return the augmentation; `shards` and `seed` are not used."""
        return NoAugmentation()


class NoAugmentation:
    """Leave the inputs alone."""

    def __call__(self, input_ids: np.ndarray, epochs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        """Return `input_ids` [B, T]."""
        return input_ids
