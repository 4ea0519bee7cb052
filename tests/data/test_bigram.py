"""The bigram floor: right on sources whose entropy is known, and equal to a model written out plainly."""

import numpy as np
import pytest

from prospero.data import bigram
from prospero.data.bigram import Bigram, bigram_bits_per_byte
from tests.data.shard_making import make_shards

ONE_BYTE = np.array([0] + [1] * 16)


def markov(n, seed):
    """A chain over 1..16: with chance 1/2 the next number, with 1/2 the one after that. Entropy 1 bit a token."""
    steps = np.random.default_rng(seed).integers(1, 3, n)
    return (np.cumsum(steps) % 16 + 1).tolist()


def test_a_markov_chain_has_its_entropy(tmp_path):
    train = make_shards(tmp_path / "train.bin", [markov(40_000, 1)])
    val = make_shards(tmp_path / "val.bin", [markov(20_000, 2)])
    assert bigram_bits_per_byte(train, val, ONE_BYTE) == pytest.approx(1.0, abs=0.01)


def test_noise_costs_the_logarithm_of_the_alphabet(tmp_path):
    noise = [np.random.default_rng(seed).integers(1, 17, 40_000).tolist() for seed in (1, 2)]
    train, val = (make_shards(tmp_path / f"{i}.bin", [tokens]) for i, tokens in enumerate(noise))
    assert bigram_bits_per_byte(train, val, ONE_BYTE) == pytest.approx(4.0, abs=0.03)
    assert bigram_bits_per_byte(train, val, ONE_BYTE * 2) == pytest.approx(2.0, abs=0.015)


def test_probabilities_add_up_to_one_and_follow_the_formula():
    run = np.array([1, 2, 1, 2, 3, 1, 2, 2], dtype=np.uint16)
    model = Bigram([run], vocab_size=5)
    k, a = 3.0, 0.5
    for first in range(5):
        pairs = np.array([[first, second] for second in range(5)], dtype=np.uint16)
        chances = [2 ** -model.bits(model.counted(pair), k, a) for pair in pairs]
        assert sum(chances) == pytest.approx(1.0)
    # c(1, 2) = 3, c(1) = 3; c(2) = 4 of the 7 tokens that follow another
    expected = (3 + k * (4 + a) / (7 + 5 * a)) / (3 + k)
    assert 2 ** -model.bits(model.counted(np.array([1, 2], dtype=np.uint16)), k, a) == pytest.approx(expected)


def test_large_splits_are_sampled_evenly(tmp_path, monkeypatch):
    train = make_shards(tmp_path / "train.bin", [markov(60_000, 1)])
    val = make_shards(tmp_path / "val.bin", [markov(60_000, 2)])
    monkeypatch.setattr(bigram, "MAX_TRAIN_TOKENS", 20_000)
    monkeypatch.setattr(bigram, "MAX_VAL_TOKENS", 10_000)
    assert bigram_bits_per_byte(train, val, ONE_BYTE) == pytest.approx(1.0, abs=0.03)


def test_the_smallest_splits_give_a_number(tmp_path):
    train, val = make_shards(tmp_path / "train.bin", [[1]]), make_shards(tmp_path / "val.bin", [[2]])
    assert np.isfinite(bigram_bits_per_byte(train, val, ONE_BYTE))
