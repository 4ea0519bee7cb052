"""Plain text: every token is a target."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class TextRenderingConfig:
    """Documents are texts, and each of their tokens is predicted."""

    def build(self) -> None:
        """Return None: there is nothing to render."""
