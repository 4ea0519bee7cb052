"""Filters by what a text is made of: symbols, digits, words without letters, bullets, ellipses.

The line and word rules, with their bounds, are those of Gopher (Rae et al. 2021, arXiv:2112.11446, section A1.1). They
fit running prose of the web and nothing else: they refuse code, tables and verse.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass

from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.words import count_words, words_without_letters
from prospero.errors import ConfigError

_BULLETS = ("•", "-", "*", "‣", "●", "◦", "·", "–", "+")
_LETTERS = bytes(b for b in range(128) if chr(b).isalpha())
_DIGITS = b"0123456789"
_SPACES = b" \t\n\r\v\f"


@dataclass(kw_only=True, slots=True)
class SymbolRatioConfig:
    """Drop documents with too many symbols, digits, bullets or ellipses to be prose. Not for code."""

    max_symbol_ratio: float | None = 0.25
    """Largest share of symbols and punctuation among characters that are not white space; null switches it off."""
    max_digit_ratio: float | None = 0.3
    """Largest share of digits among characters that are not white space; null switches it off."""
    min_alphabetic_words: float | None = 0.8
    """Smallest share of words with at least one letter; null switches it off."""
    max_hashes_per_word: float | None = 0.1
    """Largest number of hash signs, and of ellipses, for each word; null switches it off."""
    max_bullet_lines: float | None = 0.9
    """Largest share of lines that begin with a bullet; null switches it off."""
    max_ellipsis_lines: float | None = 0.3
    """Largest share of lines that end with an ellipsis; null switches it off."""

    def __post_init__(self) -> None:
        for name in (
            "max_symbol_ratio",
            "max_digit_ratio",
            "min_alphabetic_words",
            "max_bullet_lines",
            "max_ellipsis_lines",
        ):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}={value} is a share; choose a number from 0 to 1, or null to switch it off.")

    def build(self) -> "SymbolRatio":
        """Return the step."""
        return SymbolRatio(self)


class SymbolRatio:
    """Keep a text that passes every rule that is switched on."""

    def __init__(self, config: SymbolRatioConfig) -> None:
        self.max_symbol_ratio = config.max_symbol_ratio
        self.max_digit_ratio = config.max_digit_ratio
        self.min_alphabetic_words = config.min_alphabetic_words
        self.max_hashes_per_word = config.max_hashes_per_word
        self.max_bullet_lines = config.max_bullet_lines
        self.max_ellipsis_lines = config.max_ellipsis_lines

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the first rule it breaks."""
        return self._characters(text) or self._words(text) or self._lines(text) or text

    def _characters(self, text: str) -> Drop | None:
        if self.max_symbol_ratio is None and self.max_digit_ratio is None:
            return None
        letters, digits, symbols = character_classes(text)
        total = max(1, letters + digits + symbols)
        if self.max_symbol_ratio is not None and symbols / total > self.max_symbol_ratio:
            return Drop("too many symbols")
        if self.max_digit_ratio is not None and digits / total > self.max_digit_ratio:
            return Drop("too many digits")
        return None

    def _words(self, text: str) -> Drop | None:
        words = text.split()
        total = max(1, len(words))
        if self.min_alphabetic_words is not None:
            without = words_without_letters(words)
            if 1 - without / total < self.min_alphabetic_words:
                return Drop("too few words with letters")
        if self.max_hashes_per_word is not None:
            ellipses = text.count("…") + text.count("...")
            if max(text.count("#"), ellipses) / max(1, count_words(text)) > self.max_hashes_per_word:
                return Drop("too many hash signs or ellipses")
        return None

    def _lines(self, text: str) -> Drop | None:
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        total = max(1, len(lines))
        if self.max_bullet_lines is not None:
            bullets = sum(1 for line in lines if line.startswith(_BULLETS))
            if bullets / total > self.max_bullet_lines:
                return Drop("too many bullet lines")
        if self.max_ellipsis_lines is not None:
            ellipses = sum(1 for line in lines if line.endswith(("…", "...")))
            if ellipses / total > self.max_ellipsis_lines:
                return Drop("too many lines end with an ellipsis")
        return None


def character_classes(text: str) -> tuple[int, int, int]:
    """Count letters (with their combining marks), digits, and everything else that is not white space."""
    data = text.encode("ascii", "ignore")
    visible = len(data.translate(None, _SPACES))
    letters = len(data) - len(data.translate(None, _LETTERS))
    digits = len(data) - len(data.translate(None, _DIGITS))
    symbols = visible - letters - digits
    if len(data) != len(text):
        for character, count in Counter(text).items():
            if character < "\x80":
                continue
            category = unicodedata.category(character)[0]
            if category in "LM":
                letters += count
            elif category == "N":
                digits += count
            elif category not in "ZC":
                symbols += count
    return letters, digits, symbols
