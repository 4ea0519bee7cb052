"""Dolma's rules: at, just below and just above each bound, by hand."""

import random

import pytest

from prospero.data.cleaning.dolma import DolmaConfig
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError

FEW = {"min_words": 1, "min_stop_words": 0, "n_grams": False, "max_copied_lines": 1.0, "max_copied_characters": 1.0}


def outcome(text, **settings):
    result = DolmaConfig(**settings).build()(text)
    assert isinstance(result, Drop) or result is text
    return result.reason if isinstance(result, Drop) else "kept"


def different(count, letters=4):
    numbers = random.Random(3)
    return ["".join(numbers.choices("abcdefghijklmnop", k=letters)) for _ in range(count)]


@pytest.mark.parametrize(("words", "expected"), [(49, "too few words"), (50, "kept"), (51, "kept")])
def test_fifty_words_are_enough(words, expected):
    assert outcome(" ".join(["the", "the", *different(words - 2)])) == expected


def test_a_hundred_thousand_words_are_not_too_many():
    settings = FEW | {"repeats": None}
    assert outcome("word " * 100_000, **settings) == "kept"
    assert outcome("word " * 100_001, **settings) == "too many words"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab abc " + "a" * 99, "kept"),  # the median is 3, whatever the mean
        ("ab ab " + "a" * 99, "words too short"),
        ("a " + "b" * 10 + " " + "c" * 99, "kept"),
        ("a " + "b" * 11 + " " + "c" * 99, "words too long"),
    ],
)
def test_median_length_of_words(text, expected):
    assert outcome(text, **FEW) == expected


@pytest.mark.parametrize(("words", "expected"), [(9, "too many words with symbols"), (10, "kept"), (11, "kept")])
def test_one_word_of_ten_may_have_symbols(words, expected):
    for word in ("##word##", "word…", "word..."):
        assert outcome(" ".join([word, *["word"] * (words - 1)]), **FEW) == expected


@pytest.mark.parametrize(
    ("without", "words", "expected"), [(2, 10, "kept"), (3, 14, "too few words with letters"), (1, 10, "kept")]
)
def test_four_of_five_words_have_a_letter(without, words, expected):
    assert outcome(" ".join(["1234"] * without + ["word"] * (words - without)), **FEW) == expected


def test_a_stop_word_counts_as_often_as_it_comes():
    settings = FEW | {"min_stop_words": 2}
    assert outcome("the word the word", **settings) == "kept"
    assert outcome("the word word word", **settings) == "too few stop words"


@pytest.mark.parametrize(
    ("sign", "lines", "expected"),
    [("*", 10, "kept"), ("-", 11, "too many bullet lines"), ("•", 11, "kept")],
)
def test_nine_of_ten_lines_may_be_bullets(sign, lines, expected):
    text = "\n".join([*[f"{sign} word word word word"] * (lines - 1), "word word word"])
    assert outcome(text, **FEW) == expected


@pytest.mark.parametrize(
    ("ending", "lines", "expected"), [(3, 10, "kept"), (4, 13, "too many lines end with an ellipsis"), (2, 10, "kept")]
)
def test_three_of_ten_lines_may_end_with_an_ellipsis(ending, lines, expected):
    more = ["more words than just one are in this line"] * (lines - ending)
    assert outcome("\n\n".join(["some words of a line…"] * ending + more), **FEW) == expected


@pytest.mark.parametrize(("others", "expected"), [(7, "kept"), (6, "too many copied lines"), (8, "kept")])
def test_all_copies_of_a_line_count(others, expected):
    lines = ["same"] * 3 + different(others)  # 3 of 10, 3 of 9, 3 of 11
    settings = FEW | {"max_copied_lines": 0.3}
    assert outcome("\n\n".join(lines), **settings) == expected


@pytest.mark.parametrize(
    ("last", "expected"), [(14, "kept"), (13, "too many characters in copied lines"), (15, "kept")]
)
def test_characters_of_copied_lines(last, expected):
    text = "\n".join(["aaa", "b" * last, "aaa"])  # 6 of 20, of 19, of 21
    assert outcome(text, **(FEW | {"max_copied_characters": 0.3, "max_median_word_length": 99})) == expected


@pytest.mark.parametrize(
    ("period", "times", "expected"),
    [
        (1, 99, "kept"),
        (1, 100, "a run of words follows itself too often"),
        (13, 99, "kept"),
        (13, 100, "a run of words follows itself too often"),
        (14, 100, "kept"),
    ],
)
def test_a_run_that_follows_itself_a_hundred_times(period, times, expected):
    assert outcome(" ".join(different(period) * times), **FEW) == expected


@pytest.mark.parametrize(("others", "expected"), [(16, "kept"), (15, "one run of 2 words too often"), (17, "kept")])
def test_the_commonest_run_of_two_words(others, expected):
    words = different(others)
    text = " ".join(["abcd", "efgh", words[0], "abcd", "efgh", *words[1:]])  # 4 words of 20, of 19, of 21
    assert outcome(text, **(FEW | {"n_grams": True})) == expected


@pytest.mark.parametrize(("words", "expected"), [(84, "kept"), (83, "too many copied runs of 5 words"), (85, "kept")])
def test_copied_runs_of_five_words(words, expected):
    passage, *others = different(10), *different(words - 10)[10:]  # ten words twice: 12 of 80 runs, of 79, of 81
    text = " ".join([*passage, others[0], *passage, *others[1:]])
    assert len(text.split()) == words
    assert outcome(text, **(FEW | {"n_grams": True})) == expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_words": 10}, "every document would be dropped"),
        ({"max_median_word_length": 2.0}, "every document would be dropped"),
        ({"repeats": 1}, "once is no repetition"),
        ({"stop_words": []}, "of no stop_words"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        DolmaConfig(**wrong)
