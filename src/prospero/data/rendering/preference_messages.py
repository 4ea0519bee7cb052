"""Preferences as dialogues: chosen and rejected are lists of messages, as in UltraFeedback; the last answer is learnt.

The turns before it are those of the list itself, or those of the prompt, a text or a list, where the list holds the
answer alone. Both halves must begin alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.records import Record
from prospero.data.rendering.dialogue_formats import BadRecord
from prospero.data.rendering.messages import Messages
from prospero.data.rendering.rendering import Clean, Rendered, Rendering
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import DataError

HALVES = ("chosen", "rejected")
ADVICE = "correct it, or leave such out with rendering.bad_records=drop"


class PreferenceMessages(Rendering):
    """Two dialogues of each record, each rendered as `rendering=messages` renders one."""

    documents_per_example = 2

    def __init__(self, dialogues: Messages, fields: Mapping[str, str], *, drops: bool) -> None:
        """Take what renders a dialogue, the fields of `chosen`, `rejected` and `prompt`, and whether bad ones go."""
        self.dialogues, self.names, self.drops = dialogues, dict(fields), drops
        self.fields = [self.names[half] for half in HALVES]

    def begin(self, tokenizer: Tokenizer | None) -> None:
        """Take the tokenizer's own template where no other is asked for."""
        self.dialogues.begin(tokenizer)

    def identity(self) -> dict[str, Any]:
        """Return the template's text."""
        return self.dialogues.identity()

    def equipped(self, tokenizer: Tokenizer) -> Tokenizer:
        """Return the tokenizer with the template and its control tokens."""
        return self.dialogues.equipped(tokenizer)

    def facts(self) -> dict[str, Any]:
        """Return what was recognised, both halves together."""
        return self.dialogues.facts()

    def __call__(self, document: Document, clean: Clean) -> Rendered | Drop:
        """Return the two documents of one record."""
        if document.record is None:
            raise DataError(f"{document.id} is a text, not a record; choose data=examples, or rendering=text")
        try:
            halves = self._halves(Record(document.id, document.record))
            found = []
            for half in halves:
                rendered = self.dialogues(Document("", document.id, record={"messages": half}), clean)
                if isinstance(rendered, Drop):
                    return rendered
                found.append(rendered)
        except BadRecord as bad:
            if self.drops:
                return Drop(bad.reason)
            raise
        return Rendered((*found[0].documents, *found[1].documents), key=found[0].key)

    def _halves(self, record: Record) -> list[list[Any]]:
        """Return the messages of both halves; BadRecord for what is no pair."""
        halves = [self._turns(record, self.names[half]) for half in HALVES]
        if halves[0] == halves[1]:
            raise self._bad(record, "chosen and rejected are equal")
        if halves[0][:-1] != halves[1][:-1]:
            raise self._bad(record, "chosen and rejected answer different prompts")
        for half in halves:
            last = half[-1] if half else None
            if not isinstance(last, Mapping) or last.get("role", last.get("from")) not in ("assistant", "gpt"):
                raise self._bad(record, "an answer is missing")
        return halves

    def _turns(self, record: Record, field: str) -> list[Any]:
        turns = record.value(field)
        if not isinstance(turns, list | tuple):
            raise BadRecord(record.place, f"field '{field}' holds no list of messages; {ADVICE}", "no list of messages")
        return [*(self._before(record) if len(turns) == 1 else ()), *turns]

    def _before(self, record: Record) -> Sequence[Any]:
        """Return the turns of the prompt."""
        prompt = record.value(self.names["prompt"])
        return prompt if isinstance(prompt, list | tuple) else [{"role": "user", "content": str(prompt)}]

    def _bad(self, record: Record, reason: str) -> BadRecord:
        return BadRecord(record.place, f"{reason}; {ADVICE}", reason)
