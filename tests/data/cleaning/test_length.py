"""Bounds in characters and words."""

import pytest

from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("four", Drop("too few characters")),
        ("a" * 21, Drop("too many characters")),
        ("oneword", Drop("too few words")),
        ("a b c d e", Drop("too many words")),
        ("just right", "just right"),
    ],
)
def test_bounds(text, expected):
    config = LengthConfig(min_characters=5, max_characters=20, min_words=2, max_words=4)
    assert config.build()(text) == expected


def test_bounds_that_leave_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"^max_words=3 is below min_words=5"):
        LengthConfig(min_words=5, max_words=3)
