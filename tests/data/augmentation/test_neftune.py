"""NEFTune leaves the tokens alone and names the noise for the model."""

import numpy as np
import pytest

from prospero.data.augmentation.neftune import NEFTuneConfig
from prospero.data.augmentation.none import NoAugmentationConfig
from prospero.errors import ConfigError
from tests.data.shard_making import make_shards


def test_tokens_stay_and_the_noise_is_named(tmp_path):
    shards = make_shards(tmp_path / "a.bin", [[1, 2]])
    augmentation = NEFTuneConfig(alpha=7.5).build(shards, 1)
    inputs = np.arange(12).reshape(3, 4)
    assert augmentation(inputs, np.zeros(3), np.arange(3)) is inputs
    assert augmentation.embedding_noise == 7.5 and NoAugmentationConfig().build(shards, 1).embedding_noise == 0.0


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_sizes(alpha):
    with pytest.raises(ConfigError, match="alpha"):
        NEFTuneConfig(alpha=alpha)
