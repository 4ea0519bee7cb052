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
        ("so-called e-mail of-the-art the x-ray", "so-called e-mail of-the-art x-ray"),
        ("dogs 'the cat' – the", "dogs 'cat' –"),
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


NAMUNA, VAKYA, HAI = "\u0928\u092e\u0942\u0928\u093e", "\u0935\u093e\u0915\u094d\u092f", "\u0939\u0948"


def test_a_word_holds_its_combining_marks_and_joiners():
    step = StopWordsConfig(languages=["hi"], keep=["\u092f\u0939", "\u090f\u0915"]).build()
    text = f"\u092f\u0939 \u090f\u0915 {NAMUNA} {VAKYA} {HAI}\u0964"
    assert step(text) == f"\u092f\u0939 \u090f\u0915 {NAMUNA} {VAKYA}\u0964"
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # one word, with a joiner; its head is a stop word
    assert StopWordsConfig(languages=["fa"], keep=[persian]).build()(persian) == persian


def test_decomposed_letters_are_the_same_letters():
    step = StopWordsConfig(languages=["fr"], keep=[]).build()
    assert step("e\u0301toile") == "e\u0301toile"
    assert step("e\u0301tait chat") == step("\u00e9tait chat") == "chat"


def test_the_help_says_that_the_lists_are_broad():
    import stopwordsiso

    words = stopwordsiso.stopwords("en")
    assert {"hello", "world"} <= words and len(words) == 1298
    assert "1298" in (StopWordsConfig.__doc__ or "") and '"hello" and "world"' in (StopWordsConfig.__doc__ or "")
