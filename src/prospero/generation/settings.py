"""Choices of whoever writes text; light at import, for the settings of commands."""

from enum import Enum


class Context(Enum):
    """What becomes of a prompt that is longer than what the model reads at once."""

    refuse = "refuse"
    slide = "slide"
