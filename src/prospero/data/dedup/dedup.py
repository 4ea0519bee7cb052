"""What removes repeated documents, as the preparation sees it."""

from typing import Protocol


class Dedup(Protocol):
    """Remembers texts."""

    def is_duplicate(self, text: str) -> bool:
        """Return whether an equal text was given before, and remember this one."""
        ...
