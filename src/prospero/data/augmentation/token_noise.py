"""Unigram noise (Xie et al. 2017, "Data noising as smoothing", arXiv:1703.02573): some inputs are other tokens."""

from dataclasses import dataclass

import numpy as np

from prospero.data.augmentation.augmentation import Augmentation
from prospero.data.sampler import mix
from prospero.data.shards import TokenShards
from prospero.errors import ConfigError

SAMPLE_SIZE = 2**16
"""Tokens of the training split that stand for its unigram distribution."""


@dataclass(kw_only=True, slots=True)
class TokenNoiseConfig:
    """Input tokens replaced by tokens drawn from the unigram distribution; labels and separators stay."""

    probability: float = 0.1
    """Chance of each input token to be replaced."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise ConfigError(f"augmentation.probability={self.probability} must be at least 0 and below 1")

    def build(self, shards: TokenShards, seed: int) -> "TokenNoise":
        """Return the augmentation, with the unigram distribution of `shards`."""
        return TokenNoise(shards, seed, self.probability)


class TokenNoise(Augmentation):
    """Noise that is a hash of (seed, epoch, sequence, position): the same after a resume and on any number of ranks."""

    def __init__(self, shards: TokenShards, seed: int, probability: float) -> None:
        self.seed, self.probability = seed, probability
        places = np.linspace(0, shards.n_tokens - 1, min(SAMPLE_SIZE, shards.n_tokens)).astype(np.int64)
        sample = shards.all_tokens[places].astype(np.int64)
        self.separator = int(shards.all_tokens[0])
        self._sample = sample[sample != self.separator]

    def __call__(self, input_ids: np.ndarray, epochs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        """Return a copy of `input_ids` [B, T] with noise."""
        key = np.full(1, self.seed % 2**64, dtype=np.uint64)
        for part in (epochs, sequences):
            key = mix(key + np.uint64(0x9E3779B97F4A7C15) + np.asarray(part).astype(np.uint64))  # [B]
        positions = np.arange(input_ids.shape[1], dtype=np.uint64)
        noise = mix(mix(key[:, None] ^ mix(positions + np.uint64(1))))  # [B, T], uniform over 64 bits
        chance = (noise >> np.uint64(40)).astype(np.float64) / 2**24
        replaced = (chance < self.probability) & (input_ids != self.separator)
        if not len(self._sample):
            return input_ids
        drawn = self._sample[(mix(noise) % np.uint64(len(self._sample))).astype(np.int64)]
        return np.where(replaced, drawn, input_ids)
