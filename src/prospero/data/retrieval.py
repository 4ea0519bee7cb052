"""What puts facts before a prompt: the contract between whoever finds them and whoever writes with a model.

Facts leave before the prompt is cut: as many are taken as fit, the most relevant ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.data.template import Template
from prospero.data.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalFacts:
    """The argument of every retrieval's `build`: what its host knows."""

    prepared: Path | None = None
    """The folder of the prepared data that the model was trained on, where they are there."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A prompt with what was found for it."""

    text: str
    facts: tuple[str, ...] = ()
    """The facts in it, most relevant first."""
    left_out: int = 0
    """Facts that were found and had no room."""


class Retrieval(ABC):
    """Finds facts for a prompt."""

    def __init__(self, context: Template, max_tokens: int | None) -> None:
        """Take the template of the context, with {facts} and {prompt}, and what it may cost beyond the prompt."""
        self.context, self.max_tokens = context, max_tokens

    @abstractmethod
    def find(self, prompt: str) -> Sequence[str]:
        """Return sentences, most relevant first; none where nothing is known."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return where it looks, as plain values: what a result was made with."""

    def before(self, prompt: str, tokenizer: Tokenizer, room: int | None) -> Retrieved:
        """Return the prompt with the facts before it that fit into `room` tokens and into the budget."""
        found = list(self.find(prompt))
        own = len(tokenizer.encode(prompt)) + 1  # one that may begin it
        for count in range(len(found), 0, -1):
            text = self.context.fill({"facts": " ".join(found[:count]), "prompt": prompt})
            tokens = len(tokenizer.encode(text)) + 1
            if (room is None or tokens <= room) and (self.max_tokens is None or tokens - own <= self.max_tokens):
                return Retrieved(text, tuple(found[:count]), len(found) - count)
        return Retrieved(prompt, (), len(found))
