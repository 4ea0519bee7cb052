"""Gopher's rules: at, just within and just beyond each bound, by hand."""

import pickle

import pytest

from prospero.data.cleaning.gopher import GopherConfig
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError

FEW = {"min_words": 1, "min_stop_words": 0}


def outcome(text, **settings):
    result = GopherConfig(**settings).build()(text)
    assert isinstance(result, Drop) or result is text
    return result.reason if isinstance(result, Drop) else "kept"


def english(words):
    return " ".join(["the", "and"] + ["word"] * (words - 2))


@pytest.mark.parametrize(("words", "expected"), [(49, "too few words"), (50, "kept"), (51, "kept")])
def test_fifty_words_are_enough(words, expected):
    assert outcome(english(words)) == expected


@pytest.mark.parametrize(("words", "expected"), [(99_999, "kept"), (100_000, "kept"), (100_001, "too many words")])
def test_a_hundred_thousand_words_are_not_too_many(words, expected):
    assert outcome(english(words)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab abc abcd", "kept"),  # 9 letters in 3 words
        ("ab abc abc", "words too short"),  # 8
        ("ab abcd abcd", "kept"),  # 10
        ("a" * 9 + " " + "b" * 11, "kept"),  # 20 in 2
        ("a" * 10 + " " + "b" * 11, "words too long"),  # 21
        ("a" * 9 + " " + "b" * 10, "kept"),  # 19
    ],
)
def test_mean_length_of_words(text, expected):
    assert outcome(text, **FEW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#word" + " word" * 9, "kept"),  # 1 of 10
        ("#word" + " word" * 8, "too many hash signs or ellipses"),  # 1 of 9
        ("#word" + " word" * 10, "kept"),
        ("word..." + " word" * 9, "kept"),
        ("word…" + " word" * 8, "too many hash signs or ellipses"),
    ],
)
def test_a_symbol_for_every_ten_words(text, expected):
    assert outcome(text, **FEW) == expected


@pytest.mark.parametrize(
    ("bullets", "lines", "expected"),
    [(9, 10, "kept"), (10, 11, "too many bullet lines"), (8, 10, "kept")],
)
def test_nine_of_ten_lines_may_be_bullets(bullets, lines, expected):
    text = "\n".join(["• some words"] * bullets + ["more words"] * (lines - bullets))
    assert outcome(text, **FEW, min_alphabetic_words=0.5) == expected


@pytest.mark.parametrize(
    ("ending", "lines", "expected"), [(3, 10, "kept"), (4, 13, "too many lines end with an ellipsis"), (2, 10, "kept")]
)
def test_three_of_ten_lines_may_end_with_an_ellipsis(ending, lines, expected):
    text = "\n".join(
        ["some words of a line ..."] * ending + ["more words than one are in this line"] * (lines - ending)
    )
    assert outcome(text, **FEW) == expected


@pytest.mark.parametrize(
    ("without", "words", "expected"), [(2, 10, "kept"), (3, 14, "too few words with letters"), (1, 10, "kept")]
)
def test_four_of_five_words_have_a_letter(without, words, expected):
    assert outcome(" ".join(["1234"] * without + ["word"] * (words - without)), **FEW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The word And word", "kept"),
        ("the word the word", "too few stop words"),
        ("word, with. words of", "kept"),
        ("theory andes tobacco often", "too few stop words"),
    ],
)
def test_two_different_stop_words(text, expected):
    assert outcome(text, min_words=1) == expected


def test_other_languages_have_words_of_their_own():
    german = "Alle Menschen sind frei und gleich an Würde und Rechten geboren"
    assert outcome(german, min_words=1) == "too few stop words"
    assert outcome(german, min_words=1, stop_words=["und", "an", "der"]) == "kept"


CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"


def test_a_script_without_spaces_is_counted_by_its_letters_and_has_no_mean_length():
    settings = {"stop_words": ["的", "和"]}
    assert outcome(CHINESE * 2, **settings) == "too few words"  # 76 letters, 38 words
    assert outcome(CHINESE * 3, **settings) == "kept"  # 114 letters, 57 words
    assert outcome(CHINESE * 3, stop_words=["的", "的"], min_stop_words=1) == "kept"


def test_it_travels_to_other_processes():
    assert pickle.loads(pickle.dumps(GopherConfig().build()))(english(60)) == english(60)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_words": 10}, "every document would be dropped"),
        ({"max_mean_word_length": 2}, "every document would be dropped"),
        ({"stop_words": ["und"]}, "min_stop_words=2 of 1"),
        ({"min_stop_words": 9}, "min_stop_words=9 of 8"),
        ({"max_bullet_lines": 90}, "is a share"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        GopherConfig(**wrong).build()
