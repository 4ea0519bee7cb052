"""What every cleaning step is: a function that returns the text, changed or not, or drops it with a reason."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Drop:
    """The document is left out. The reason is a fixed phrase, without numbers, so that it can be counted."""

    reason: str


class CleaningStep(Protocol):
    """A picklable step; returns the same object when there is nothing to change."""

    def __call__(self, text: str) -> str | Drop:
        """Clean one text."""
        ...
