"""Lower-casing, for experiments with a small vocabulary."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class LowerCaseConfig:
    """Make all letters small."""

    def build(self) -> "LowerCase":
        """Return the step."""
        return LowerCase()


class LowerCase:
    """Make all letters small, by Unicode's rules for no language in particular."""

    def __call__(self, text: str) -> str:
        """Return the text in lower case."""
        return text.lower()
