"""The text as it is."""

from dataclasses import dataclass

from prospero.data.augmentation.augmentation import Augmentation
from prospero.data.shards import TokenShards


@dataclass(kw_only=True, slots=True)
class NoAugmentationConfig:
    """No augmentation."""

    def build(self, shards: TokenShards, seed: int) -> "NoAugmentation":
        """Return the augmentation; `shards` and `seed` are not used."""
        return NoAugmentation()


class NoAugmentation(Augmentation):
    """Leaves the inputs alone."""
