"""The linear filter of texts: its features by hand, its optimum, and its file."""

import json
import math
import zlib

import numpy as np
import pytest
from safetensors.numpy import save_file

from prospero.data.overlap import run_hashes
from prospero.data.text_filter import FeaturesConfig, TextFilter, features, held_out, load_filter, train_filter
from prospero.errors import ConfigError, DataError

SMALL = FeaturesConfig(letters=[2], words=[1], bits=12)
GOOD = [f"the ship sails to island {i} with {word} wind" for i in range(12) for word in ("fair", "great", "little")]
BAD = [f"click here to buy {i} cheap {word} now" for i in range(12) for word in ("watches", "pills", "shoes")]


def test_features_are_the_logarithms_of_counts_made_length_one():
    config = FeaturesConfig(letters=[1], words=[], bits=20)
    places, values = features("aAb", config)
    a, b = (int(run_hashes(np.array([ord(letter)], np.uint32), 1)[0] >> np.uint64(44)) for letter in "ab")
    norm = math.hypot(math.log(3), math.log(2))
    expected = {a: math.log(3) / norm, b: math.log(2) / norm}
    assert dict(zip(places.tolist(), values.tolist())) == pytest.approx(expected)


def test_words_are_known_without_case_and_signs_and_apart_from_letters():
    config = FeaturesConfig(letters=[], words=[2], bits=26)
    (place,), _ = features("Good -- WIND!", config)
    words = np.array([zlib.crc32(b"good"), zlib.crc32(b"wind")], np.uint64)
    assert place == int((run_hashes(words, 2) * np.uint64(0x9E3779B97F4A7C15))[0] >> np.uint64(38))
    assert len(features("wind good", config)[0]) == 1 and features("wind good", config)[0][0] != place


def test_a_text_without_any_is_of_no_weight_and_the_end_of_a_long_one_is_not_read():
    assert len(features("", SMALL)[0]) == 0
    cut = FeaturesConfig(letters=[2], words=[1], bits=12, max_characters=5)
    assert features("abcde", cut)[0].tolist() == features("abcdefgh", cut)[0].tolist()
    assert TextFilter(SMALL, np.ones(2**12, np.float32), -math.log(3)).probability("") == pytest.approx(0.25)


def test_the_filter_is_the_minimum_and_the_same_each_time():
    made = train_filter(GOOD, BAD[:9], SMALL, l2=0.01)
    rows = [(text, 1.0, 0.5 / len(GOOD)) for text in GOOD] + [(text, 0.0, 0.5 / 9) for text in BAD[:9]]
    gradient, of_bias = 0.01 * made.weight.astype(np.float64), 0.0
    for text, label, share in rows:
        places, values = features(text, SMALL)
        off = share * (made.probability(text) - label)
        gradient[places] += off * values
        of_bias += off
    assert np.abs(gradient).max() < 1e-5 and abs(of_bias) < 1e-5  # where the loss is least, it has no slope
    again = train_filter(GOOD, BAD[:9], SMALL, l2=0.01)
    assert np.array_equal(made.weight, again.weight) and made.bias == again.bias


def test_texts_that_it_has_not_seen_are_told_apart():
    made = train_filter(GOOD[:24], BAD[:24], FeaturesConfig(), l2=1e-5)
    found = held_out(made, GOOD[24:], BAD[24:])
    assert found.found(0.5).tolist() == [True] * 12 and found.judged_good(0.5).tolist() == [True] * 12
    mixed = held_out(made, [*GOOD[24:27], BAD[30]], [*BAD[24:27], GOOD[30]])
    assert (mixed.found(0.5).mean(), mixed.judged_good(0.5).mean()) == (0.75, 0.75)


def test_the_file_gives_the_same_filter(tmp_path):
    made = train_filter(GOOD, BAD, SMALL, l2=0.01)
    made = TextFilter(SMALL, made.weight, made.bias, {"held_out": {"precision": 1.0}})
    made.save(tmp_path / "f.safetensors")
    read = load_filter(tmp_path / "f.safetensors")
    assert (read.config, read.bias, read.facts) == (SMALL, made.bias, made.facts)
    assert [read.probability(text) for text in GOOD] == [made.probability(text) for text in GOOD]


def head(**changes: object) -> dict[str, str]:
    features = {"letters": [2], "words": [1], "bits": 3, "max_characters": 5}
    return {
        "filter": json.dumps({"kind": "prospero text filter", "format": 1, "features": features, "facts": {}} | changes)
    }


@pytest.mark.parametrize(
    ("metadata", "size", "said"),
    [
        ({}, 8, "is no filter of texts"),
        (head(kind="a recipe"), 8, "is no filter of texts"),
        (head(format=2), 8, "is a filter of format 2, not 1"),
        (head(), 7, r"has \(7,\) weights, not 2\^3"),
        ({"filter": "{"}, 8, "is damaged"),
        (head(features={}), 8, r"has \(8,\) weights, not 2\^18"),
        (head(features={"letter": [2]}), 8, "is damaged"),
        (head(features={"letters": [2], "bits": 99}), 8, "is damaged"),
        (head(facts=3), 8, "is damaged"),
    ],
)
def test_a_file_that_is_something_else(tmp_path, metadata, size, said):
    tensors = {"weight": np.zeros(size, np.float32), "bias": np.zeros(1)}
    save_file(tensors, tmp_path / "f.safetensors", metadata=metadata)
    with pytest.raises(DataError, match=said):
        load_filter(tmp_path / "f.safetensors")


def test_a_file_without_a_bias(tmp_path):
    save_file({"weight": np.zeros(8, np.float32)}, tmp_path / "f.safetensors", metadata=head())
    with pytest.raises(DataError, match="is damaged"):
        load_filter(tmp_path / "f.safetensors")


def test_a_file_that_is_missing_or_cut(tmp_path):
    with pytest.raises(DataError, match=r"there is no filter .*prospero train_filter"):
        load_filter(tmp_path / "none")
    (tmp_path / "cut").write_bytes(b"\x08\0\0\0")
    with pytest.raises(DataError, match=r"cut is damaged"):
        load_filter(tmp_path / "cut")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"letters": [], "words": []}, "leave nothing to read"),
        ({"letters": [0]}, "a run has 1 or more"),
        ({"bits": 27}, "choose 1 to 26"),
        ({"max_characters": 0}, "must be 1 or more"),
    ],
)
def test_what_cannot_be(changes, said):
    with pytest.raises(ConfigError, match=said):
        FeaturesConfig(**changes)
