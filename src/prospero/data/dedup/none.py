"""No de-duplication."""

from dataclasses import dataclass


class NoDedup:
    """Every document is new."""

    def is_duplicate(self, text: str) -> bool:
        """Return False."""
        return False


@dataclass(kw_only=True, slots=True)
class NoDedupConfig:
    """Keep every document, copies too."""

    def build(self) -> NoDedup:
        """Return the part."""
        return NoDedup()
