"""The rules of quality of Gopher (Rae et al. 2021, arXiv:2112.11446, section A1.1), at the bounds of the paper.

Those of repetition (table A1) are the step `repetition`. They fit English prose of the web and refuse code, tables and
verse; for another language name its words, and for Korean, whose words are short, another `min_mean_word_length`.
"""

from dataclasses import dataclass

from prospero.data.cleaning.required_words import ENGLISH, RequiredWords
from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.symbol_ratio import SymbolRatioConfig
from prospero.data.cleaning.words import count_words, spaced_words
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class GopherConfig:
    """Drop what is no running English prose: Gopher's rules of length, words, symbols and lines."""

    min_words: int = 50
    """Documents of fewer words are dropped; where a script sets no spaces, they are counted by letters."""
    max_words: int | None = 100_000
    """Documents of more words are dropped; null means no limit."""
    min_mean_word_length: float = 3.0
    """Smallest mean length of words, in characters; of scripts that set spaces, where those are most of the text."""
    max_mean_word_length: float = 10.0
    """Largest mean length of such words, in characters."""
    max_symbols_per_word: float = 0.1
    """Largest number of hash signs, and of ellipses, for each word."""
    max_bullet_lines: float = 0.9
    """Largest share of lines that begin with a bullet."""
    max_ellipsis_lines: float = 0.3
    """Largest share of lines that end with an ellipsis."""
    min_alphabetic_words: float = 0.8
    """Smallest share of words with at least one letter."""
    min_stop_words: int = 2
    """How many different words of `stop_words` there must be; 0 switches the rule off."""
    stop_words: list[str] | None = None
    """Words that running text cannot do without; null means the paper's eight English ones."""

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < self.min_words:
            raise ConfigError(
                f"max_words={self.max_words} is below min_words={self.min_words}, so every document would be dropped."
            )
        if self.max_mean_word_length < self.min_mean_word_length:
            raise ConfigError(
                f"max_mean_word_length={self.max_mean_word_length} is below "
                f"min_mean_word_length={self.min_mean_word_length}, so every document would be dropped."
            )
        words = len(set(ENGLISH if self.stop_words is None else self.stop_words))
        if words < self.min_stop_words:
            raise ConfigError(
                f"min_stop_words={self.min_stop_words} of {words} stop_words cannot be there; name more words, or "
                "choose fewer (0 switches the rule off)."
            )

    def build(self) -> "Gopher":
        """Return the step."""
        return Gopher(self)


class Gopher:
    """Keep a text that passes every rule."""

    def __init__(self, config: GopherConfig) -> None:
        self.config = config
        self._stop_words = RequiredWords(config.stop_words or ENGLISH)
        self._words_and_lines = SymbolRatioConfig(
            max_symbol_ratio=None,
            max_digit_ratio=None,
            min_alphabetic_words=config.min_alphabetic_words,
            max_hashes_per_word=config.max_symbols_per_word,
            max_bullet_lines=config.max_bullet_lines,
            max_ellipsis_lines=config.max_ellipsis_lines,
        ).build()

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the first rule it breaks."""
        config = self.config
        number = count_words(text)
        if number < config.min_words:
            return Drop("too few words")
        if config.max_words is not None and number > config.max_words:
            return Drop("too many words")
        words = spaced_words(text)
        if 2 * len(words) > number:
            characters = sum(map(len, words))
            if characters < config.min_mean_word_length * len(words):
                return Drop("words too short")
            if characters > config.max_mean_word_length * len(words):
                return Drop("words too long")
        kept = self._words_and_lines(text)
        if isinstance(kept, Drop):
            return kept
        if not self._stop_words.are_there(text, config.min_stop_words, different=True):
            return Drop("too few stop words")
        return text
