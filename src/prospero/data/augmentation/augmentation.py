"""What every augmentation offers: other inputs, the same labels, repeatable from the place in the order of the data."""

import numpy as np


class Augmentation:
    """A change of the training inputs that depends on nothing but the seed, the epoch and the sequence."""

    embedding_noise: float = 0.0
    """What the model's `embedding_noise` is while it trains: noise that is no matter of tokens."""

    def __call__(self, input_ids: np.ndarray, epochs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        """Return inputs [B, T] for `input_ids` [B, T]; `epochs` and `sequences` [B] say where they stand."""
        return input_ids
