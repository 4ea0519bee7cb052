"""The embedded pictures: the same everywhere, true to their sentences, and how they are split."""

import numpy as np
import pytest

from prospero.data.sources import shapes
from prospero.data.sources.shapes import ShapesConfig
from prospero.errors import ConfigError


def documents(**settings):
    return list(ShapesConfig(**({"pictures": 40} | settings)).build().documents())


def test_they_are_the_same_each_time_and_differ_from_one_another():
    first, again = documents(), documents()
    assert all(np.array_equal(a.picture, b.picture) and a.record == b.record for a, b in zip(first, again))
    assert len({document.picture.tobytes() for document in first}) == 40
    assert {document.picture.shape for document in first} == {(32, 32, 3)}
    assert documents(pictures=3, channels=1, image_size=16)[0].picture.shape == (16, 16, 1)


def test_all_combinations_come_once_before_any_comes_twice():
    every = shapes.combinations()
    assert len(every) == 3 * 2 * 6 * 3 * 4
    found = [document.record["caption"] for document in documents(pictures=len(every))]
    assert sorted(found) == sorted(map(shapes.sentence, every))


def test_sentences_are_read_back():
    assert shapes.sentence((2, "small", "red", "square", "at the top")) == "two small red squares at the top"
    assert shapes.attributes("two  small red squares at the top") == {
        "number": "two", "size": "small", "colour": "red", "shape": "square", "place": "at the top",
    }  # fmt: skip
    assert shapes.attributes("two small red dogs at the top") is None


@pytest.mark.parametrize("place", shapes.PLACES)
def test_the_shapes_lie_in_their_half(place):
    for number in (1, 2, 3):
        picture = shapes.drawn((number, "large", "white", "circle", place), 32, np.random.default_rng(number))
        lit = (picture.min(axis=-1) > 150).astype(float)
        down, across = (lit.sum(axis=axis) @ np.arange(32) / lit.sum() / 31 for axis in (1, 0))
        where = {"on the left": across < 0.5, "on the right": across > 0.5, "at the top": down < 0.5}
        assert where.get(place, down > 0.5)
        assert abs((down if "on" in place else across) - 0.5) < 0.12  # about the middle of the half


def test_half_of_the_combinations_stay_together():
    found = documents(pictures=864)
    keys = {document.record["caption"]: set() for document in found}
    for document in found:
        keys[document.record["caption"]].add(document.key)
    whole = [caption for caption, own in keys.items() if own == {caption}]
    assert 0.4 < len(whole) / len(keys) < 0.6
    assert all(len(own) == 2 for caption, own in keys.items() if caption not in whole)


def test_what_cannot_be_is_refused():
    for settings, message in (
        ({"pictures": 0}, "makes none"), ({"image_size": 8}, "need 16 pixels"), ({"channels": 4}, "choose 3"),
        ({"whole_combinations": 2.0}, "is a share"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            ShapesConfig(**settings)
