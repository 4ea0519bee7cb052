"""What every augmentation offers: other inputs, the same labels, repeatable from the place in the order of the data."""

from typing import Protocol

import numpy as np


class Augmentation(Protocol):
    """A change of the training inputs that depends on nothing but the seed, the epoch and the sequence."""

    def __call__(self, input_ids: np.ndarray, epochs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        """Return inputs [B, T] for `input_ids` [B, T]; `epochs` and `sequences` [B] say where they stand."""
        ...
