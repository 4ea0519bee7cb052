"""Token noise: the asked share, from the unigram distribution, the same at the same place."""

import numpy as np
import pytest

from prospero.data.augmentation.token_noise import TokenNoiseConfig
from prospero.errors import ConfigError
from tests.data.shard_making import make_shards, random_documents


@pytest.fixture
def shards(tmp_path):
    return make_shards(tmp_path / "a.bin", [[7] * 300 + [8] * 100, *random_documents(1, 1)])


def inputs(rows=64, length=256):
    tokens = np.full((rows, length), 50)
    tokens[:, ::16] = 0
    return tokens


def noisy(shards, probability=0.2, seed=1, epoch=0, first=0):
    augmentation = TokenNoiseConfig(probability=probability).build(shards, seed)
    return augmentation(inputs(), np.full(64, epoch), np.arange(first, first + 64))


def test_the_asked_share_is_replaced_by_unigram_samples(shards):
    found = noisy(shards)
    ordinary = inputs() != 0
    changed = (found != inputs()) & ordinary
    assert changed.sum() / ordinary.sum() == pytest.approx(0.2, abs=0.01)
    assert (found[changed] == 7).mean() == pytest.approx(0.75, abs=0.04)
    assert (found[~ordinary] == 0).all()


def test_place_and_seed_decide_and_nothing_else(shards):
    assert (noisy(shards) == noisy(shards)).all()
    assert (noisy(shards, first=3)[0] == noisy(shards)[3]).all()
    for other in (noisy(shards, seed=2), noisy(shards, epoch=1), noisy(shards, first=64)):
        assert (noisy(shards) != other).mean() > 0.2


def test_it_does_not_write_into_what_it_is_given(shards):
    given = inputs()
    TokenNoiseConfig(probability=0.5).build(shards, 1)(given, np.zeros(64), np.arange(64))
    assert (given == inputs()).all()


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_impossible_probability(probability):
    with pytest.raises(ConfigError, match="probability"):
        TokenNoiseConfig(probability=probability)
