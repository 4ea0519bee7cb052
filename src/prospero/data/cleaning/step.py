"""What every cleaning step is: a function that returns the text, changed or not, or drops it with a reason."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Drop:
    """The document is left out. The reason is a fixed phrase, without numbers, so that it can be counted."""

    reason: str
    private: bool = False
    """The text may not be shown: a report names the document and leaves its text out."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed text, with fixed phrases for what was changed in it, so that they can be counted."""

    text: str
    what: tuple[str, ...]


class CleaningStep(Protocol):
    """A picklable step; returns the same object when there is nothing to change."""

    def __call__(self, text: str) -> str | Changed | Drop:
        """Clean one text."""
        ...
