"""Prose as beginnings and ends and as sentences, by hand."""

from prospero.data.document import Document
from prospero.data.embedded.prose import beginnings, sentences


def test_prose_is_cut_at_the_ends_of_words():
    words = " ".join(["Prose of words alone is what this is."] * 30)
    rows = beginnings([Document(text=words, id="topics#prose", source="docs")])
    assert len(rows) == 2
    for row in rows:
        assert 200 < len(row["beginning"]) <= 240 and row["beginning"] + row["continuation"] in words
        assert row["continuation"][0] == " " and not row["continuation"].endswith(" ")
        assert (words + " ").index(row["beginning"] + row["continuation"] + " ") >= 0
    code = "x = {1: [2, 3], 4: (5,)}\n" * 40
    assert beginnings([Document(text=code, id="topics#code", source="docs")]) == []


def test_sentences_end_with_a_plain_word():
    text = (
        "Raised when an operation or function is applied to an object of\ninappropriate type. Short one. Never ask for "
        "the last word of what ends in Upper Case Names as this does Here. Is this a question of many words?\n"
    )
    rows = sentences([Document(text=text, id="topics#x", source="docs")])
    assert [row["text"] for row in rows] == [
        "Raised when an operation or function is applied to an object of inappropriate type"
    ]


def test_what_cannot_be_parsed_gives_nothing():
    broken = Document(text="def f(:\n  >>> 1\n", id="broken.py", source="broken")
    for make in (beginnings, sentences):
        assert make([broken]) == make([]) == []
