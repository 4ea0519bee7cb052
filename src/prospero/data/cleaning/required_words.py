"""Words that running text of a language cannot do without, and how many of them a text has."""

import re
from collections.abc import Sequence

from prospero.data.cleaning.words import is_unspaced

ENGLISH = ("the", "be", "to", "of", "and", "that", "have", "with")
"""The eight words of Gopher (Rae et al. 2021, arXiv:2112.11446, section A1.1)."""


class RequiredWords:
    """Looks for whole words, whatever their case; words of scripts without spaces are looked for anywhere."""

    def __init__(self, words: Sequence[str]) -> None:
        spaced = "|".join(re.escape(word) for word in words if not is_unspaced(word))
        unspaced = [re.escape(word) for word in words if is_unspaced(word)]
        pattern = "|".join(([rf"\b(?:{spaced})\b"] if spaced else []) + unspaced)
        self._pattern = re.compile(pattern or r"(?!)", re.IGNORECASE)

    def are_there(self, text: str, wanted: int, *, different: bool) -> bool:
        """Return whether `wanted` of them stand in `text`; each counts once where they must be `different`."""
        if wanted <= 0:
            return True
        found: set[str] = set()
        for number, match in enumerate(self._pattern.finditer(text), 1):
            found.add(match.group().lower())
            if (len(found) if different else number) >= wanted:
                return True
        return False
