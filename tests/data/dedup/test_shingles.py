"""Texts as sets of shingles."""

import numpy as np
import pytest

from prospero.data.dedup.shingles import Characters, Words


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("To be, or not to be", "to be or NOT TO BE!"),
        ("eine Straße über den Fluß", "Eine  Straße, über den Fluß"),
        ("天地玄黃宇宙洪荒", "天地玄黃，宇宙洪荒。"),
        ("นี่คือ ภาษาไทย", "นี่คือ, ภาษาไทย"),
    ],
)
def test_case_and_signs_do_not_count(text, same):
    assert set(Words(2)(text)) == set(Words(2)(same))


@pytest.mark.parametrize(
    ("text", "n", "count"),
    [
        ("a b c d e f", 5, 2),
        ("a b c", 5, 1),
        ("", 5, 0),
        ("... !", 5, 0),
        ("a b a b a b", 2, 5),
        ("天地玄黃", 2, 3),
        ("go 天地", 1, 3),
    ],
)
def test_runs_of_words(text, n, count):
    assert len(Words(n)(text)) == count


def test_the_order_of_words_counts_and_the_hashes_are_the_same_everywhere():
    words = Words(2)
    assert words("a b") != words("b a")
    assert set(words("a b a b")) == set(words("a b a"))
    assert words("to be").tolist() == [9757632018964258777] == Words(2)("To be").tolist()


def test_runs_of_characters():
    assert len(Characters(3)("abcd")) == 2
    assert np.array_equal(Characters(3)("A  b\nc"), Characters(3)("a b c"))
    assert len(Characters(5)("")) == 0


def test_words_are_forgotten_and_hashed_again(monkeypatch):
    monkeypatch.setattr("prospero.data.dedup.shingles.REMEMBERED", 3)
    words = Words(1)
    once = words("a b c d e")
    words("f g h")
    assert np.array_equal(words("a b c d e"), once)
