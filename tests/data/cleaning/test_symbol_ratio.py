"""What a text is made of."""

import pytest

from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.symbol_ratio import SymbolRatioConfig, character_classes
from prospero.errors import ConfigError

PROSE = "It was a bright cold day in April, and the clocks were striking thirteen.\n"


@pytest.mark.parametrize(
    ("text", "counts"),
    [("ab 12 ,.", (2, 2, 2)), ("é日 ٣ €", (2, 1, 1)), ("नमस्ते", (6, 0, 0)), (" \n\t\u00a0", (0, 0, 0)), ("", (0, 0, 0))],
)
def test_character_classes(text, counts):
    assert character_classes(text) == counts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("=+=+ ~~~ {}{}; word", "too many symbols"),
        ("12345 67890 123 words", "too many digits"),
        ("word 1 2 3 a4 5 words 6 furthermore", "too few words with letters"),
        ("one # two # three # four # five # six", "too few words with letters"),
        ("#one #two three four words more and more", "too many hash signs or ellipses"),
        ("- one thing to do\n- another thing to do\n* a third thing to do", "too many bullet lines"),
        ("some words follow here and then there is much more to say...\nplain text in this line\n", "too many lines"),
    ],
)
def test_each_rule(text, reason):
    result = SymbolRatioConfig().build()(text)
    assert isinstance(result, Drop)
    assert result.reason.startswith(reason)


@pytest.mark.parametrize("text", [PROSE * 3, "Был яркий холодный день, и часы били тринадцать.", "x" * 10])
def test_prose_is_kept(text):
    assert SymbolRatioConfig().build()(text) is text


def test_rules_can_be_switched_off():
    config = SymbolRatioConfig(
        max_symbol_ratio=None,
        max_digit_ratio=None,
        min_alphabetic_words=None,
        max_hashes_per_word=None,
        max_bullet_lines=None,
        max_ellipsis_lines=None,
    )
    assert config.build()("- 1 # ...") == "- 1 # ..."


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"^max_digit_ratio=30"):
        SymbolRatioConfig(max_digit_ratio=30)
