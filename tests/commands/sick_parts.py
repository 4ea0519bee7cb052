"""Parts that make a run sick on purpose: data that come slowly, and data that are garbage for one step."""

import time
from dataclasses import dataclass

import numpy as np

from prospero import registry
from prospero.data.augmentation.augmentation import Augmentation
from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class SlowConfig:
    """Each batch takes a while to come."""

    seconds: float = 0.3
    """How long."""

    def build(self, shards: TokenShards, seed: int) -> "Slow":
        """Return the augmentation."""
        return Slow(self.seconds)


class Slow(Augmentation):
    """Sleeps."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, input_ids: np.ndarray, epochs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        return input_ids


@dataclass(kw_only=True, slots=True)
class GarbageConfig:
    """One batch of the run is noise."""

    batch: int = 80
    """Which, counted from the first that is made."""

    def build(self, shards: TokenShards, seed: int) -> "Garbage":
        """Return the augmentation."""
        return Garbage(self.batch)


class Garbage(Augmentation):
    """Counts its calls, in one process."""

    def __init__(self, batch: int) -> None:
        self.batch, self.calls = batch, 0

    def __call__(self, input_ids: np.ndarray, epochs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.calls != self.batch:
            return input_ids
        return np.random.default_rng(0).integers(1, 250, input_ids.shape)


registry.register("augmentation", "slow", SlowConfig)
registry.register("augmentation", "garbage", GarbageConfig)
