"""FineWeb's rules: at, just below and just above each bound, by hand."""

import pytest

from prospero.data.cleaning.fineweb import FinewebConfig
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError

OFF = {"punctuated_lines": None, "copied_characters": None, "short_lines": None, "max_line_ends_per_word": None}


def outcome(text, **settings):
    result = FinewebConfig(**(OFF | settings)).build()(text)
    assert isinstance(result, Drop) or result is text
    return result.reason if isinstance(result, Drop) else "kept"


@pytest.mark.parametrize(("ending", "kept"), [(2, False), (3, False), (4, True)])
def test_more_than_twelve_of_a_hundred_lines_end_with_a_mark(ending, kept):
    text = "\n".join(["A line that ends."] * ending + ["A line that does not"] * (25 - ending))
    assert outcome(text, punctuated_lines=0.12) == ("kept" if kept else "too few lines end with a terminal mark")


@pytest.mark.parametrize(("last", "kept"), [(11, True), (10, False), (9, False)])
def test_a_tenth_of_the_characters_in_copied_lines_is_too_much(last, kept):
    text = "\n".join(["a" * 10, "b" * (70 + last), "a" * 10])  # 10 of 90 + last
    assert outcome(text, copied_characters=0.1) == ("kept" if kept else "too many characters in copied lines")


@pytest.mark.parametrize(("short", "kept"), [(66, True), (67, False), (68, False)])
def test_fewer_than_two_thirds_of_the_lines_are_short(short, kept):
    text = "\n".join(["a" * 29] * short + ["b" * 30] * (100 - short))
    assert outcome(text, short_lines=0.67) == ("kept" if kept else "too many short lines")


@pytest.mark.parametrize(("words", "kept"), [(11, True), (10, True), (9, False)])
def test_three_line_ends_for_ten_words(words, kept):
    text = "\n".join(["a", "b", "c", " ".join(["d"] * (words - 3))])
    assert outcome(text, max_line_ends_per_word=0.3) == ("kept" if kept else "too many line ends")


def test_the_defaults_are_those_of_the_paper_and_keep_prose():
    text = "It was a bright cold day in April, and the clocks struck.\nWinston Smith slipped through the glass doors."
    assert FinewebConfig().build()(text) is text
    config = FinewebConfig()
    assert (config.punctuated_lines, config.copied_characters, config.short_lines) == (0.12, 0.1, 0.67)


def test_marks_of_other_scripts_end_lines():
    text = "这是一句话。\nयह एक वाक्य है।\nهذه جملة؟"
    assert outcome(text, punctuated_lines=0.99) == "kept"


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"^short_lines=67"):
        FinewebConfig(short_lines=67)
