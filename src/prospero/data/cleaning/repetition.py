"""Repetition within a document: the rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1), or plain removal."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.word_runs import WordRuns
from prospero.errors import ConfigError

_REPEATED_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
_SMALLEST_BOUND = min(_REPEATED_NGRAMS.values())


class RepetitionAction(Enum):
    """What to do with repetition."""

    drop = "drop"
    remove = "remove"


@dataclass(kw_only=True, slots=True)
class RepetitionConfig:
    """Drop documents that repeat themselves, or remove their repeated lines and paragraphs. Not for code."""

    action: RepetitionAction = RepetitionAction.drop
    """Drop the document when a bound is passed; or keep it and remove later copies of its lines and paragraphs."""
    max_line_ratio: float = 0.30
    """Largest share of lines that repeat an earlier line."""
    max_paragraph_ratio: float = 0.30
    """Largest share of paragraphs (set apart by blank lines) that repeat an earlier one."""
    max_line_character_ratio: float = 0.20
    """Largest share of characters in such lines."""
    max_paragraph_character_ratio: float = 0.20
    """Largest share of characters in such paragraphs."""
    n_grams: bool = True
    """Apply the rules on runs of 2 to 10 words too (at the bounds of the paper)."""
    min_removed_characters: int = 30
    """Where copies are removed: shorter lines and paragraphs stay, in characters."""

    def __post_init__(self) -> None:
        for name in (
            "max_line_ratio",
            "max_paragraph_ratio",
            "max_line_character_ratio",
            "max_paragraph_character_ratio",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}={value} is a share; choose a number from 0 to 1 (1 switches the rule off).")

    def build(self) -> "Repetition":
        """Return the step."""
        return Repetition(self)


class Repetition:
    """Measure repeated lines, paragraphs and runs of words, or remove the former two."""

    def __init__(self, config: RepetitionConfig) -> None:
        self.remove = config.action is RepetitionAction.remove
        self.line_bounds = (config.max_line_ratio, config.max_line_character_ratio)
        self.paragraph_bounds = (config.max_paragraph_ratio, config.max_paragraph_character_ratio)
        self.n_grams = config.n_grams
        self.min_removed_characters = config.min_removed_characters

    def __call__(self, text: str) -> str | Drop:
        """Return the text, without its later copies where these are removed, or the rule it breaks."""
        if self.remove:
            text = _without_copies(text, "\n\n", self.min_removed_characters)
            return _without_copies(text, "\n", self.min_removed_characters)
        for unit, separator, bounds in (
            ("lines", "\n", self.line_bounds),
            ("paragraphs", "\n\n", self.paragraph_bounds),
        ):
            pieces = [piece for piece in map(str.strip, text.split(separator)) if piece]
            count, characters = repeated_ratios(pieces)
            if count > bounds[0]:
                return Drop(f"too many repeated {unit}")
            if characters > bounds[1]:
                return Drop(f"too many characters in repeated {unit}")
        if self.n_grams:
            return self._n_grams(text) or text
        return text

    def _n_grams(self, text: str) -> Drop | None:
        words = WordRuns(text.split())
        if (drop := words.one_too_often()) is not None:
            return drop
        for n, bound in _REPEATED_NGRAMS.items():
            ratio = words.repeated_ratio(n)
            if ratio > bound:
                return Drop(f"too many repeated runs of {n} words")
            if ratio <= _SMALLEST_BOUND:  # longer runs cannot cover more words
                return None
        return None


def repeated_ratios(pieces: Sequence[str]) -> tuple[float, float]:
    """Return the share of pieces, and of characters, that repeat an earlier piece."""
    different = set(pieces)
    if len(different) == len(pieces):
        return 0.0, 0.0
    characters = sum(map(len, pieces))
    copied = characters - sum(map(len, different))
    return (len(pieces) - len(different)) / len(pieces), copied / characters  # a difference of shares is not exact


def _without_copies(text: str, separator: str, shortest: int) -> str:
    seen: set[str] = set()
    kept = []
    for piece in text.split(separator):
        plain = piece.strip()
        if len(plain) >= shortest:
            if plain in seen:
                continue
            seen.add(plain)
        kept.append(piece)
    return separator.join(kept)
