"""Sentences by their marks, in several scripts."""

import pytest

from prospero.data.cleaning.sentences import count_sentences, ends_sentence


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("", 0),
        ("One. Two! Three?", 3),
        ('He said: "No." Then 3.14 at b.org went on', 2),
        ("What?! Yes.", 2),
        ("今天很好。明天呢？", 2),
        ("यह एक वाक्य है। यह दूसरा है।", 2),
        ("...", 1),
        ("no end", 1),
    ],
)
def test_sentences_are_counted(line, number):
    assert count_sentences(line) == number


@pytest.mark.parametrize("line", ["It ends.", "Ends!", "Ends?", '"Ends"', "«Fin»", "结束。", "अंत।", "نهاية؟"])
def test_what_ends_a_sentence(line):
    assert ends_sentence(line)


@pytest.mark.parametrize("line", ["", "no end", "a comma,", "and so on...", "and so on…", "a colon:"])
def test_what_ends_none(line):
    assert not ends_sentence(line)
