"""The rules that FineWeb adds to Gopher's and C4's (Penedo et al. 2024, arXiv:2406.17557, section 3.6).

Bounds are the paper's, where a document at a bound is dropped; the rule of line ends is of the code alone (datatrove,
fineweb_quality_filter.py, whose bound of copied characters is 0.01).
"""

from dataclasses import dataclass

from prospero.data.cleaning.repetition import repeated_ratios
from prospero.data.cleaning.sentences import TERMINAL_MARKS
from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.words import count_words
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class FinewebConfig:
    """Drop lists, menus and pages of copied lines: the three rules of FineWeb, and its rule of line ends."""

    punctuated_lines: float | None = 0.12
    """A share of lines that end with a terminal mark (of any script) up to which documents are dropped; null switches
    the rule off."""
    copied_characters: float | None = 0.1
    """A share of characters in lines that came before from which documents are dropped; null switches it off."""
    short_lines: float | None = 0.67
    """A share of short lines from which documents are dropped; null switches it off."""
    short_line_characters: int = 30
    """Lines with fewer characters are short."""
    max_line_ends_per_word: float | None = 0.3
    """Largest number of line ends for each word; null switches it off."""

    def __post_init__(self) -> None:
        for name, value in (
            ("punctuated_lines", self.punctuated_lines),
            ("copied_characters", self.copied_characters),
            ("short_lines", self.short_lines),
        ):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}={value} is a share; choose a number from 0 to 1, or null to switch it off.")

    def build(self) -> "Fineweb":
        """Return the step."""
        return Fineweb(self)


class Fineweb:
    """Keep a text that passes every rule that is switched on."""

    def __init__(self, config: FinewebConfig) -> None:
        self.config = config

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the first rule it breaks; lines of nothing but white space do not count."""
        config = self.config
        lines = [line.rstrip() for line in text.split("\n") if line and not line.isspace()]
        total = max(1, len(lines))
        if config.punctuated_lines is not None:
            punctuated = sum(1 for line in lines if line.endswith(TERMINAL_MARKS))
            if punctuated / total <= config.punctuated_lines:
                return Drop("too few lines end with a terminal mark")
        if config.short_lines is not None:
            short = sum(1 for line in lines if len(line) < config.short_line_characters)
            if short / total >= config.short_lines:
                return Drop("too many short lines")
        if config.copied_characters is not None and repeated_ratios(lines)[1] >= config.copied_characters:
            return Drop("too many characters in copied lines")
        most = config.max_line_ends_per_word
        if most is not None and text.count("\n") > most * count_words(text):
            return Drop("too many line ends")
        return text
