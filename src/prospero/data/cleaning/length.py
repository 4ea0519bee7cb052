"""A filter by length in characters and words."""

from dataclasses import dataclass

from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.words import count_words
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class LengthConfig:
    """Drop documents that are too short or too long."""

    min_characters: int = 50
    """Shorter documents are dropped, in characters."""
    max_characters: int | None = None
    """Longer documents are dropped, in characters; null means no limit."""
    min_words: int = 0
    """Documents of fewer words are dropped: what stands between white space, and where a script writes none, two
    Chinese or Japanese characters, five Thai, Lao, Khmer or Burmese ones."""
    max_words: int | None = None
    """Documents of more words are dropped; null means no limit."""

    def __post_init__(self) -> None:
        pairs = (("characters", self.min_characters, self.max_characters), ("words", self.min_words, self.max_words))
        for unit, low, high in pairs:
            if high is not None and high < low:
                raise ConfigError(f"max_{unit}={high} is below min_{unit}={low}, so every document would be dropped.")

    def build(self) -> "Length":
        """Return the step."""
        return Length(self)


class Length:
    """Keep a text whose length lies within the bounds."""

    def __init__(self, config: LengthConfig) -> None:
        self.min_characters = config.min_characters
        self.max_characters = config.max_characters
        self.min_words = config.min_words
        self.max_words = config.max_words

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the reason to drop it."""
        if len(text) < self.min_characters:
            return Drop("too few characters")
        if self.max_characters is not None and len(text) > self.max_characters:
            return Drop("too many characters")
        if self.min_words or self.max_words is not None:
            words = count_words(text)
            if words < self.min_words:
                return Drop("too few words")
            if self.max_words is not None and words > self.max_words:
                return Drop("too many words")
        return text
