"""Identification of languages on Article 1 of the Universal Declaration in 25 of them."""

import pytest

from prospero.data.language import known_languages, language_probabilities, sample
from tests.data.cleaning.declaration import ARTICLE_1, halves

pytest.importorskip("py3langid", reason="needs the extra language")


def told(text):
    return next(iter(language_probabilities(text)))


def test_languages_are_told_by_an_article():
    """Stated: 24 of 25 are right, and Indonesian is taken for Malay, of which it is a sister."""
    assert len(ARTICLE_1) == 25
    wrong = {code: told(text) for code, text in ARTICLE_1.items() if told(text) != code}
    assert wrong == {"id": "ms"}


def test_languages_are_told_by_half_an_article_and_by_a_few_words():
    """Stated: at least 48 of 50 halves are right, and of 20 characters each at least 22 of 25."""
    assert sum(told(text) == code for code, text in halves()) >= 48
    assert sum(told(text[:20]) == code for code, text in ARTICLE_1.items()) >= 22


@pytest.mark.parametrize("code", ["zh", "ja", "th"])
def test_scripts_without_spaces_are_sure(code):
    assert language_probabilities(ARTICLE_1[code])[code] > 0.9


def test_fewer_languages_are_told_apart_better():
    among = tuple(sorted(ARTICLE_1))
    assert all(next(iter(language_probabilities(text, among))) == code for code, text in ARTICLE_1.items())
    assert set(language_probabilities("words", among)) == set(among) < set(known_languages())
    assert set(language_probabilities("words")) == set(known_languages()), "the choice is of that call alone"


def test_a_long_text_is_looked_at_in_three_places():
    assert sample("abc", 3) == "abc" and sample("abcdefg", 3) == "a\nd\ng"
    text = "".join(chr(97 + number % 26) for number in range(1000))
    assert sample(text, 30) == f"{text[:10]}\n{text[495:505]}\n{text[990:]}"
