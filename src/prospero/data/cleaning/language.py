"""A filter by language, as the web's corpora have one (FineWeb, Penedo et al. 2024, keeps English from 0.65 on)."""

from dataclasses import dataclass, field
from typing import Any

from prospero.data.cleaning.step import Drop
from prospero.data.language import check_languages, language_probabilities, package_version, sample
from prospero.data.receipt import plain
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class LanguageConfig:
    """Drop documents in other languages, and those that no language can be told of. Needs the extra `language`."""

    languages: list[str] = field(default_factory=lambda: ["en"])
    """Codes of the languages to keep, such as en, de, zh."""
    min_probability: float = 0.65
    """Smallest probability that the text is in one of them."""
    among: list[str] = field(default_factory=list)
    """Codes of the languages that are considered at all; empty: all that are known. Fewer are told apart better."""
    sample_characters: int = 1000
    """How much of a text is looked at, from its beginning, middle and end, in characters."""

    def __post_init__(self) -> None:
        if not self.languages:
            raise ConfigError("languages=[]: every document would be dropped; name a language to keep.")
        if not 0 <= self.min_probability <= 1:
            raise ConfigError(f"min_probability={self.min_probability}; choose a number from 0 to 1.")
        if self.sample_characters < 1:
            raise ConfigError(f"sample_characters={self.sample_characters}; choose 1 or more.")
        if self.among and not set(self.languages) <= set(self.among):
            missing = ", ".join(code for code in self.languages if code not in self.among)
            raise ConfigError(f"among={self.among} leaves out {missing}, which languages= would keep; add it.")

    def identity(self) -> dict[str, Any]:
        """Return the settings and the classifier's version, which decides what it says."""
        return plain(self) | {"classifier": package_version()}

    def build(self) -> "Language":
        """Return the step; raises `ConfigError` for an unknown language and where py3langid is missing."""
        check_languages("cleaning.language.languages", self.languages)
        check_languages("cleaning.language.among", self.among)
        return Language(self)


class Language:
    """Keep a text that is in one of the languages; each process reads the classifier's model once."""

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config
        self._among = tuple(sorted(set(config.among)))

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself, or the language it is in as the reason to drop it."""
        config = self.config
        probabilities = language_probabilities(sample(text, config.sample_characters), self._among)
        if sum(probabilities[code] for code in set(config.languages)) >= config.min_probability:
            return text
        likeliest, probability = next(iter(probabilities.items()))
        if likeliest in config.languages or probability < config.min_probability:
            return Drop("language not clear")
        return Drop(f"in the language {likeliest}")
