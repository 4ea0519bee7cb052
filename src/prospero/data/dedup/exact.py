"""Exact de-duplication: of documents with the same text only the first is kept."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any


@dataclass(kw_only=True, slots=True)
class ExactDedupConfig:
    """Keep the first of documents whose text is equal; at most 170 bytes of memory for each different document."""

    ignore_case: bool = False
    """Texts that differ only in upper and lower case count as equal."""
    ignore_white_space: bool = True
    """Texts that differ only in spaces, tabs and line ends count as equal."""

    @property
    def changes_text(self) -> bool:
        """No: a document is kept or dropped."""
        return False

    def build(self, folder: Path) -> "ExactDedup":
        """Return the part, which has seen nothing yet."""
        return ExactDedup(ExactSketch(self.ignore_case, self.ignore_white_space))


@dataclass(frozen=True, slots=True)
class ExactSketch:
    """The 128-bit BLAKE2b digest of what counts of a text."""

    ignore_case: bool
    ignore_white_space: bool

    def __call__(self, text: str) -> bytes:
        """Return 16 bytes."""
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_white_space:
            text = " ".join(text.split())
        return blake2b(text.encode(), digest_size=16).digest()


class ExactDedup:
    """A set of digests: two different texts are taken for one with probability n^2 / 2^129."""

    def __init__(self, sketch: ExactSketch) -> None:
        self.sketch = sketch
        self.seen: set[bytes] = set()

    def keep(self, text: str, sketch: bytes, document_id: str) -> str | None:
        """Return the text, or None when an equal one was given before."""
        if sketch in self.seen:
            return None
        self.seen.add(sketch)
        return text

    def report(self) -> dict[str, Any]:
        """Nothing: how many there were is counted for every part."""
        return {}

    def close(self) -> None:
        """Nothing lies on disk."""
