"""NEFTune (Jain et al. 2023, arXiv:2310.05914): uniform noise on the embeddings while a model is fine-tuned."""

from dataclasses import dataclass

from prospero.data.augmentation.augmentation import Augmentation
from prospero.data.shards import TokenShards
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class NEFTuneConfig:
    """Noise on the embeddings that the model reads in training; validation and generation see none."""

    alpha: float = 5.0
    """Size: each number of an embedding gets uniform noise within alpha / sqrt(L d_model), L tokens of its document."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise ConfigError(f"augmentation.alpha={self.alpha} must be above 0; augmentation=none adds no noise")

    def build(self, shards: TokenShards, seed: int) -> "NEFTune":
        """Return the augmentation; the noise is drawn where the model computes, from the seed of each micro-step."""
        return NEFTune(self.alpha)


class NEFTune(Augmentation):
    """Leaves the inputs alone and says how much noise the model adds to what it makes of them."""

    def __init__(self, alpha: float) -> None:
        self.embedding_noise = alpha
