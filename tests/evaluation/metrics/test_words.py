"""What counts as a word."""

from prospero.evaluation.metrics.words import ascii_words, ngrams, squad, unicode_words, words_and_signs


def test_words_of_each_kind():
    text = "The x-ray, Größe don't 今天 हिन्दी Cafe\u0301 x_1"
    assert ascii_words(text) == ["the", "x", "ray", "gr", "e", "don", "t", "cafe", "x", "1"]
    assert unicode_words(text) == ["the", "x", "ray", "größe", "don", "t", "今", "天", "हिन्दी", "café", "x", "1"]
    assert words_and_signs("Yes, x_1 ==今天!!") == ["Yes", ",", "x", "_", "1", "=", "=", "今", "天", "!", "!"]
    assert ascii_words("") == unicode_words("") == words_and_signs(" \n") == []


def test_an_answer_as_squad_compares_it():
    assert squad(" The cat's  a\n(Theatre), An 1.5 ") == "cats theatre 15"
    assert squad("Élan «a»") == "élan « »"


def test_runs_of_words():
    assert ngrams("abab", 2) == {("a", "b"): 2, ("b", "a"): 1} and not ngrams("a", 2)
