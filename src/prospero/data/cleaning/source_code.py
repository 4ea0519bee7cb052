"""Filters for source code: the rules of RedPajama v1 (Together 2023) and of StarCoder (Li et al. 2023,
arXiv:2305.06161, section 3.1), at the bounds that Dolma took over (Soldaini et al. 2024, arXiv:2402.00159).
"""

import re
from dataclasses import dataclass

from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.symbol_ratio import character_classes
from prospero.errors import ConfigError

_TOKENS = re.compile(r"\w+|[^\w\s]+")
_XML = "<?xml version="
_HEAD = 100
"""Characters at the beginning in which an XML declaration stands."""


@dataclass(kw_only=True, slots=True)
class SourceCodeConfig:
    """Drop files that nobody wrote: minified or generated code, data, markup."""

    max_line_length: int | None = 1000
    """Longest line, in characters; null means no limit."""
    max_mean_line_length: float | None = 100.0
    """Largest mean length of lines, in characters; null means no limit."""
    min_alphanumeric: float = 0.25
    """Smallest share of letters and digits among all characters."""
    min_letters_to_tokens: float = 1.5
    """Smallest number of letters for each token, a run of letters and digits or of other signs."""
    xml: bool = False
    """Keep files that begin with an XML declaration."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_alphanumeric <= 1:
            raise ConfigError(f"min_alphanumeric={self.min_alphanumeric} is a share; choose a number from 0 to 1.")

    def build(self) -> "SourceCode":
        """Return the step."""
        return SourceCode(self)


class SourceCode:
    """Keep a text that passes every rule."""

    def __init__(self, config: SourceCodeConfig) -> None:
        self.config = config

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the first rule it breaks."""
        config = self.config
        lengths = [len(line) for line in text.splitlines()]
        if config.max_line_length is not None and max(lengths, default=0) > config.max_line_length:
            return Drop("a line too long")
        if config.max_mean_line_length is not None and sum(lengths) > config.max_mean_line_length * len(lengths):
            return Drop("lines too long on average")
        if not config.xml and _XML in text[:_HEAD]:
            return Drop("an XML file")
        letters, digits, _ = character_classes(text)
        if letters + digits < config.min_alphanumeric * len(text):
            return Drop("too few letters and digits")
        if letters < config.min_letters_to_tokens * sum(1 for _ in _TOKENS.finditer(text)):
            return Drop("too few letters for each token")
        return text
