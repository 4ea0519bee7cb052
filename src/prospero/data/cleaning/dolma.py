"""The rules of Dolma for pages of the web (Soldaini et al. 2024, arXiv:2402.00159, section 5.1.2; taggers/gopher.py).

They are Gopher's as Dolma counts them: the median length of words, words with a symbol, all copies of a line, and all
runs of words. Runs of words that follow themselves a hundred times are dropped too. What else Dolma does is in other
steps: `c4` with its rule of line ends alone, `language`, `pii` with a cap of 5.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from prospero.data.cleaning.required_words import ENGLISH, RequiredWords
from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.word_runs import WordRuns
from prospero.data.cleaning.words import count_words, spaced_words, words_without_letters
from prospero.errors import ConfigError

_COPIED_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
_LONGEST_PERIOD = 13
"""Words of the longest run that is looked for beside itself."""


@dataclass(kw_only=True, slots=True)
class DolmaConfig:
    """Drop what Dolma dropped of the web: no running English prose, copied lines, repeated runs of words."""

    min_words: int = 50
    """Documents of fewer words are dropped; where a script sets no spaces, they are counted by letters."""
    max_words: int | None = 100_000
    """Documents of more words are dropped; null means no limit."""
    min_median_word_length: float = 3.0
    """Smallest median length of words, in characters; of scripts that set spaces, where those are most of the text."""
    max_median_word_length: float = 10.0
    """Largest median length of such words, in characters."""
    max_symbol_words: float = 0.1
    """Largest share of words with a hash sign or an ellipsis in them."""
    min_alphabetic_words: float = 0.8
    """Smallest share of words with at least one letter."""
    min_stop_words: int = 2
    """How often words of `stop_words` must come; 0 switches the rule off."""
    stop_words: list[str] | None = None
    """Words that running text cannot do without; null means Gopher's eight English ones."""
    max_bullet_lines: float = 0.9
    """Largest share of lines that begin with a star or a dash."""
    max_ellipsis_lines: float = 0.3
    """Largest share of lines that end with an ellipsis."""
    max_copied_lines: float = 0.3
    """Largest share of lines that come more than once, all their copies counted."""
    max_copied_characters: float = 0.3
    """Largest share of characters in such lines."""
    n_grams: bool = True
    """Apply the rules on runs of 2 to 10 words too (at the bounds of the paper)."""
    repeats: int | None = 100
    """Documents in which 1 to 13 words follow themselves this often are dropped; null switches the rule off."""

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < self.min_words:
            raise ConfigError(
                f"max_words={self.max_words} is below min_words={self.min_words}, so every document would be dropped."
            )
        if self.max_median_word_length < self.min_median_word_length:
            raise ConfigError(
                f"max_median_word_length={self.max_median_word_length} is below "
                f"min_median_word_length={self.min_median_word_length}, so every document would be dropped."
            )
        if self.repeats is not None and self.repeats < 2:
            raise ConfigError(f"repeats={self.repeats}: once is no repetition; choose 2 or more, or null.")
        if self.min_stop_words and self.stop_words == []:
            raise ConfigError(
                f"min_stop_words={self.min_stop_words} of no stop_words; name some, or choose 0 to switch the rule off."
            )

    def build(self) -> "Dolma":
        """Return the step."""
        return Dolma(self)


class Dolma:
    """Keep a text that passes every rule."""

    def __init__(self, config: DolmaConfig) -> None:
        self.config = config
        self._stop_words = RequiredWords(config.stop_words or ENGLISH)

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the first rule it breaks; empty lines do not count."""
        return self._words(text) or self._lines(text) or self._runs(text) or text

    def _words(self, text: str) -> Drop | None:
        config = self.config
        number = count_words(text)
        if number < config.min_words:
            return Drop("too few words")
        if config.max_words is not None and number > config.max_words:
            return Drop("too many words")
        spaced = spaced_words(text)
        if 2 * len(spaced) > number:
            median = float(np.median(np.fromiter(map(len, spaced), np.int64, len(spaced))))
            if median < config.min_median_word_length:
                return Drop("words too short")
            if median > config.max_median_word_length:
                return Drop("words too long")
        words = text.split()
        if any(sign in text for sign in ("#", "…", "...")):
            symbols = sum(1 for word in words if "#" in word or "…" in word or "..." in word)
            if symbols / max(1, len(words)) > config.max_symbol_words:
                return Drop("too many words with symbols")
        if 1 - words_without_letters(words) / max(1, len(words)) < config.min_alphabetic_words:
            return Drop("too few words with letters")
        if not self._stop_words.are_there(text, config.min_stop_words, different=False):
            return Drop("too few stop words")
        return None

    def _lines(self, text: str) -> Drop | None:
        config = self.config
        lines = [line for line in text.split("\n") if line and not line.isspace()]
        total = max(1, len(lines))
        if sum(1 for line in lines if line.lstrip().startswith(("*", "-"))) / total > config.max_bullet_lines:
            return Drop("too many bullet lines")
        if sum(1 for line in lines if line.rstrip().endswith(("…", "..."))) / total > config.max_ellipsis_lines:
            return Drop("too many lines end with an ellipsis")
        copied = {line: count for line, count in Counter(lines).items() if count > 1}
        if sum(copied.values()) / total > config.max_copied_lines:
            return Drop("too many copied lines")
        characters = sum(len(line) * count for line, count in copied.items())
        if characters > config.max_copied_characters * sum(map(len, lines)):
            return Drop("too many characters in copied lines")
        return None

    def _runs(self, text: str) -> Drop | None:
        words = WordRuns(text.split())
        if self.config.repeats is not None and words.follows_itself(self.config.repeats, _LONGEST_PERIOD):
            return Drop("a run of words follows itself too often")
        if not self.config.n_grams:
            return None
        if (drop := words.one_too_often()) is not None:
            return drop
        for n, bound in _COPIED_NGRAMS.items():
            ratio = words.copied_ratio(n)
            if ratio > bound:
                return Drop(f"too many copied runs of {n} words")
            if not ratio:  # then no longer one comes twice
                return None
        return None
