"""Stop words go, and spaces stay sane."""

import pytest

from prospero.data.cleaning.stop_words import StopWordsConfig
from prospero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat sat on the mat.", "cat sat mat."),
        ("cats, of the, dogs", "cats,, dogs"),
        ("dogs of the.", "dogs."),
        ("theatre of then", "theatre"),
        ("line one cat\nthe dog", "line cat\ndog"),
        ("It's the cat", "cat"),
        ("    indented mat\n", "    indented mat\n"),
        ("the_name x1the", "the_name x1the"),
        ("", ""),
    ],
)
def test_english(text, expected):
    step = StopWordsConfig(keep=["line"]).build()
    assert step(text) == expected


def test_languages_extra_and_keep():
    step = StopWordsConfig(languages=["de"], extra=["Katze"], keep=["und"]).build()
    assert step("Die Katze und der Hund") == "und Hund"


@pytest.mark.parametrize(
    ("languages", "message"), [(["xx"], "no stop words for 'xx'"), (["zh"], "spaces"), ([], "empty")]
)
def test_impossible_languages(languages, message):
    with pytest.raises(ConfigError, match=message):
        StopWordsConfig(languages=languages).build()
