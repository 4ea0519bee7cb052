"""A prompt that fits: where a record is longer than what the model reads, its source is cut and nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prospero.data.retrieval import Retrieval
from prospero.data.template import Template
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.engine import first_ids


class Keep(Enum):
    """Which part of a source stays where it is too long."""

    beginning = "beginning"
    end = "end"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads."""

    text: str
    left_out: int = 0
    """Characters of the record that did not fit."""
    facts: tuple[str, ...] = ()
    """What a retrieval has put before it."""
    facts_left_out: int = 0
    """Facts that it found and that did not fit."""

    def record(self) -> dict[str, Any]:
        """Return it as samples.jsonl shows it."""
        known: dict[str, Any] = {"prompt": self.text}
        known |= {"left_out": self.left_out} if self.left_out else {}
        known |= {"facts": list(self.facts)} if self.facts else {}
        return known | ({"facts_left_out": self.facts_left_out} if self.facts_left_out else {})


class Room:
    """How many tokens a prompt may have."""

    def __init__(self, tokenizer: Tokenizer, window: int | None, new_tokens: int) -> None:
        """Take the room beside what will be written: at least half of the window, for the window slides on."""
        self.tokenizer = tokenizer
        self.tokens = None if window is None else max(1, window - new_tokens, window // 2)
        longest_token = max(map(len, tokenizer.byte_table), default=1)
        self.most = (self.tokens or 0) * max(1, longest_token)
        """Characters beyond which no text fits."""

    def holds(self, text: str) -> bool:
        """Return whether `text` fits; one that is certainly too long is not encoded."""
        return self.tokens is None or (len(text) <= self.most and len(first_ids(self.tokenizer, text)) <= self.tokens)


def fitted(template: Template, values: Mapping[str, str], source: str, keep: Keep, room: Room) -> Prompt:
    """Return the template filled with `values`, the field `source` cut as little as needed.

    Where even an empty source leaves it too long, the end of the whole counts.
    """
    whole = template.fill(values)
    if room.holds(whole):
        return Prompt(whole)
    text = values[source]
    if room.holds(template.fill({**values, source: ""})):

        def cut(length: int) -> str:
            part = text[:length] if keep is Keep.beginning else text[len(text) - length :]
            return template.fill({**values, source: part})

        length = longest(lambda length: room.holds(cut(length)), min(len(text), room.most))
        return Prompt(cut(length), len(text) - length)
    length = longest(lambda length: room.holds(whole[len(whole) - length :]), min(len(whole), room.most))
    return Prompt(whole[len(whole) - length :], len(whole) - length)


def informed(prompt: Prompt, retrieval: Retrieval | None, room: Room) -> Prompt:
    """Return the prompt with the facts before it that a retrieval finds and that fit; they leave before it is cut."""
    if retrieval is None:
        return prompt
    found = retrieval.before(prompt.text, room.tokenizer, room.tokens)
    return Prompt(found.text, prompt.left_out, found.facts, found.left_out)


def longest(holds: Callable[[int], bool], most: int) -> int:
    """Return the greatest length up to `most` that `holds`, by halving; 0 is taken to hold."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if holds(middle):
            least = middle
        else:
            most = middle - 1
    return least
