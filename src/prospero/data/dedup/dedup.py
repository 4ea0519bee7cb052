"""What removes repeated documents, or repeated parts of them, as the preparation sees it."""

from typing import Any, Protocol


class Sketch(Protocol):
    """A picklable function of the text alone: it may run in any process."""

    def __call__(self, text: str) -> bytes:
        """Return what is compared of a text."""
        ...


class Dedup(Protocol):
    """Remembers texts."""

    @property
    def sketch(self) -> Sketch:
        """What `keep` wants to know of a text."""
        ...

    def keep(self, text: str, sketch: bytes, document_id: str) -> str | None:
        """Return what is kept of a text, the same object where that is all, and remember it; None for a copy.

        Called for every document, in the order of the corpus, in one process.
        """
        ...

    def report(self) -> dict[str, Any]:
        """Return what the receipt says of it beside the number of duplicates, as plain values."""
        ...

    def close(self) -> None:
        """Remove what lies on disk."""
        ...
