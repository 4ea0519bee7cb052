"""What every rendering is: a function from a record to spans of text, each of which is a target of training or not.

`Document` with a record -> `Rendered`, or a `Drop` with its reason -> the encoder, which writes the tokens and, beside
them, which of them are targets. A control token is a span of its own and goes in by its id; all other text is encoded
as ordinary text, so that a record that spells a control token stays text.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.tokenizer.tokenizer import Tokenizer

Clean = Callable[[str], "str | Drop"]
"""The cleaning steps of the preparation, for one text of a record."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text."""

    text: str
    target: bool = False
    """Whether its tokens are predicted: whether they carry loss."""
    control: bool = False
    """Whether the text is the name of one control token."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What becomes of one record."""

    documents: tuple[tuple[Span, ...], ...]
    """The spans of each document that it makes: one; two, chosen and rejected, for a preference."""
    key: str
    """What decides the split, such as the prompt: records that share it never train and measure both."""
    kept: Mapping[str, str] | None = None
    """Fields that stay beside the tokens, for rewards that read them; None: none is kept."""

    @property
    def text(self) -> str:
        """All of it as one text; what copies are told by."""
        return "\0".join("".join(span.text for span in spans) for spans in self.documents)

    def packed(self) -> str:
        """Return it as one line of JSON; `Rendered.unpacked` reads it."""
        documents = [[[span.text, span.target, span.control] for span in spans] for spans in self.documents]
        kept = [] if self.kept is None else [dict(self.kept)]
        return json.dumps([self.key, documents, *kept], ensure_ascii=False)

    @staticmethod
    def unpacked(line: str) -> "Rendered":
        """Return what `packed` was called on."""
        key, documents, *kept = json.loads(line)
        spans = tuple(tuple(Span(*span) for span in spans) for spans in documents)
        return Rendered(spans, key, kept[0] if kept else None)


class Rendering(ABC):
    """Records to spans; stateless, and picklable."""

    fields: Sequence[str] = ()
    """Fields that every record must have; a dot reaches into an object."""
    documents_per_example: int = 1
    """Documents that one record makes; those of one example stand side by side in the shards."""

    reads_picture: bool = False
    """Whether each record comes with a picture, which stands before its text."""

    @abstractmethod
    def __call__(self, document: Document, clean: Clean) -> Rendered | Drop:
        """Render one record, each of its texts cleaned; DataError, with the record's place, for one that is none."""

    def begin(self, tokenizer: Tokenizer | None) -> None:
        """Take note, before the first record, of the tokenizer; None where one is yet to be learnt from the texts."""
        return

    def identity(self) -> dict[str, Any]:
        """Return what decides the spans beside the settings, as plain values: the content of a template's file."""
        return {}

    def equipped(self, tokenizer: Tokenizer) -> Tokenizer:
        """Return the tokenizer with what the rendering needs of it: control tokens, a template for dialogues."""
        return tokenizer

    def facts(self) -> dict[str, Any]:
        """Return what was recognised and counted on the way, as plain values, for the receipt."""
        return {}
