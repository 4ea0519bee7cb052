"""No augmentation changes nothing."""

import numpy as np

from prospero.data.augmentation.none import NoAugmentationConfig
from tests.data.shard_making import make_shards


def test_inputs_stay(tmp_path):
    augmentation = NoAugmentationConfig().build(make_shards(tmp_path / "a.bin", [[1, 2]]), 1)
    inputs = np.arange(12).reshape(3, 4)
    assert augmentation(inputs, np.zeros(3), np.arange(3)) is inputs
