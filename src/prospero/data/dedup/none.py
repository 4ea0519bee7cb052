"""No de-duplication."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


def nothing(text: str) -> bytes:
    """Return no bytes."""
    return b""


class NoDedup:
    """Every document is new."""

    def __init__(self) -> None:
        self.sketch = nothing

    def keep(self, text: str, sketch: bytes, document_id: str) -> str | None:
        """Return the text."""
        return text

    def report(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing lies on disk."""


@dataclass(kw_only=True, slots=True)
class NoDedupConfig:
    """Keep every document, copies too."""

    @property
    def changes_text(self) -> bool:
        """No: a document is kept or dropped."""
        return False

    def build(self, folder: Path) -> NoDedup:
        """Return the part."""
        return NoDedup()
