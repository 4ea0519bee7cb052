"""The scorers: a filter's probability, a model's bits per byte, and that what they read decides the prepared data."""

import math
import pickle
import shutil

import numpy as np
import pytest
import torch

from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.data.cleaning.score import ScoreConfig
from prospero.data.cleaning.step import Drop
from prospero.data.prepare import prepare
from prospero.data.text_filter import FeaturesConfig, TextFilter, features
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.model.transformer import TransformerConfig
from tests.data.shard_making import settings, write_corpus

WORDS = FeaturesConfig(letters=[], words=[1], bits=16)


def save_filter(path, **scores: float) -> str:
    """A filter by words: the score of a text of one word is the word's."""
    weight = np.zeros(2**16, np.float32)
    for word, score in scores.items():
        weight[features(word, WORDS)[0]] = score
    TextFilter(WORDS, weight, 0.0).save(path)
    return str(path)


def save_model(folder, *, last: float = 0.0) -> str:
    """A model that gives every byte the same chance, but for the score of "a"."""
    config = TransformerConfig(d_model=8, n_layers=1, n_heads=1, n_kv_heads=1, d_ff=8, tie_embeddings=False)
    tokenizer, sizes = ByteTokenizerConfig().build(), {"vocab_size": 257, "max_seq_len": 8}
    model = config.build(**sizes)
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state[next(name for name in state if "embed" in name)].fill_(last)
    save_model_folder(folder, state, tokenizer, describe_model(config, **sizes))
    return str(folder)


def test_a_filter_keeps_what_is_likelier_good_than_the_bound(tmp_path):
    path = save_filter(tmp_path / "f", good=2.0, bad=-2.0, fair=0.5)
    step = ScoreConfig(filter=path).build()
    kept = "good"
    assert step(kept) is kept and step("neither") == "neither"  # a probability of 0.5 is not below the bound
    assert step("bad") == Drop("taken for bad by the filter")
    strict = ScoreConfig(filter=path, min_probability=0.7).build()  # 1 / (1 + e^-2) = 0.88, 1 / (1 + e^-0.5) = 0.62
    assert strict("good") == "good" and strict("fair") == Drop("taken for bad by the filter")
    assert pickle.loads(pickle.dumps(strict))("fair") == Drop("taken for bad by the filter")


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary(tmp_path):
    run = save_model(tmp_path / "model")
    model = ScoreConfig(run=run, max_bits_per_byte=9).model()
    assert model.bits_per_byte("a short text that is longer than the window") == pytest.approx(math.log2(257), abs=1e-5)
    assert model.bits_per_byte("é") == pytest.approx(math.log2(257), abs=1e-5)
    text = "some text"
    assert ScoreConfig(run=run, max_bits_per_byte=8.01).build()(text) is text
    assert ScoreConfig(run=run, max_bits_per_byte=8.0).build()(text) == Drop("too many bits per byte for the model")
    assert ScoreConfig(run=run, min_bits_per_byte=8.01).build()(text) == Drop("too few bits per byte for the model")
    assert ScoreConfig(run=run, min_bits_per_byte=8.01).build()("") == ""


def test_the_step_reads_the_model_in_each_process_anew(tmp_path):
    step = ScoreConfig(run=save_model(tmp_path / "model"), max_bits_per_byte=8).build()
    before = pickle.dumps(step)
    assert isinstance(step("text"), Drop)
    assert pickle.dumps(step) == before and isinstance(pickle.loads(before)("text"), Drop)


def test_what_the_model_is_decides_and_where_it_lies_does_not(tmp_path):
    run = save_model(tmp_path / "model")
    first = ScoreConfig(run=run, max_bits_per_byte=9).identity()
    copy = shutil.copytree(run, tmp_path / "copy")
    assert ScoreConfig(run=str(copy), max_bits_per_byte=9).identity() == first
    assert ScoreConfig(run=run, max_bits_per_byte=8).identity() != first
    other = save_model(tmp_path / "other", last=1.0)
    assert ScoreConfig(run=other, max_bits_per_byte=9).identity()["model"] != first["model"]


def test_a_corpus_is_prepared_anew_with_another_filter(tmp_path):
    path = save_filter(tmp_path / "f", spam=-3.0)
    corpus = write_corpus(tmp_path, [*(f"text {i} of those that are kept" for i in range(60)), "spam"])
    chosen = settings(corpus, tmp_path / "out", cleaning={"score": ScoreConfig(filter=path)})
    first = prepare(chosen)
    row = first.receipt["dropped"][0]
    assert (row["step"], row["reason"], row["documents"]) == ("score", "taken for bad by the filter", 1)
    shutil.copy(path, tmp_path / "g")
    same = settings(corpus, tmp_path / "out", cleaning={"score": ScoreConfig(filter=str(tmp_path / "g"))})
    assert prepare(same).directory == first.directory
    save_filter(tmp_path / "g", nothing=-3.0)
    again = prepare(same)
    assert again.fingerprint != first.fingerprint and again.receipt["documents"]["kept"] == 61


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filter": "f", "run": "r", "max_bits_per_byte": 1.0}, "are two scores; give one"),
        ({"filter": "f", "max_bits_per_byte": 1.0}, "go with run=, not with filter="),
        ({"run": "r", "min_probability": 0.5, "max_bits_per_byte": 1.0}, "goes with filter=, not with run="),
        ({"run": "r"}, "drops nothing without max_bits_per_byte or min_bits_per_byte"),
        ({"run": "r", "max_bits_per_byte": 1.0, "min_bits_per_byte": 1.0}, "is not above min_bits_per_byte=1.0"),
        ({"filter": "f", "min_probability": 1.0}, "must lie between 0 and 1"),
        ({"filter": "f", "max_characters": 0}, "must be 1 or more"),
    ],
)
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(ConfigError, match=said):
        ScoreConfig(**changes)


def test_what_is_not_there(tmp_path):
    for ask in (ScoreConfig().build, ScoreConfig().identity):
        with pytest.raises(ConfigError, match=r"needs cleaning.score.filter=<file"):
            ask()
    with pytest.raises(DataError, match="there is no filter"):
        ScoreConfig(filter=str(tmp_path / "none")).build()
    for run, said in ((tmp_path, "is no folder of a run"), (tmp_path / "none", "does not exist")):
        with pytest.raises(ConfigError, match=said):
            ScoreConfig(run=str(run), max_bits_per_byte=2).identity()
