"""The cleaning steps in order, and the record of what they changed and dropped."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prospero.data.cleaning.step import Changed, CleaningStep, Drop
from prospero.data.document import Document

EMPTY = Drop("empty")


class CleaningPipeline:
    """Apply `steps` in their order; a document is kept or dropped with a reason.

    A document of nothing but white space is dropped at the end whatever the steps, under the name "end".
    """

    def __init__(
        self, steps: Mapping[str, CleaningStep], *, examples_per_reason: int = 3, example_characters: int = 200
    ) -> None:
        self.steps = dict(steps)
        self.examples_per_reason = examples_per_reason
        self.example_characters = example_characters
        self.reset()

    def reset(self) -> None:
        """Forget all counts and examples."""
        self.seen = 0
        self.kept = 0
        self.changed: Counter[str] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], list[dict[str, str]]] = {}

    def __call__(self, document: Document) -> Document | Drop:
        """Return the cleaned document, or the `Drop` of the step that refused it."""
        self.seen += 1
        text = self.clean(document.text, document.id)
        if isinstance(text, Drop):
            return text
        if not text or text.isspace():
            return self.drop("end", EMPTY, document.id, document.text)
        self.kept += 1
        return document if text is document.text else replace(document, text=text)

    def clean(self, text: str, document_id: str) -> str | Drop:
        """Return one text of a document cleaned, or the `Drop` of the step that refused it."""
        for name, step in self.steps.items():
            result = step(text)
            if isinstance(result, Drop):
                return self.drop(name, result, document_id, text)
            if isinstance(result, Changed):
                self.changed.update(f"{name}: {what}" for what in result.what)
                result = result.text
            if result is not text and result != text:
                self.changed[name] += 1
                text = result
        return text

    def drop(self, name: str, drop: Drop, document_id: str, text: str) -> Drop:
        """Note that the step `name` left a document out, and why."""
        key = (name, drop.reason)
        self.dropped[key] += 1
        examples = self.examples.setdefault(key, [])
        if len(examples) < self.examples_per_reason:
            examples.append({"id": document_id, "text": "" if drop.private else text[: self.example_characters]})
        return drop

    def report(self) -> dict[str, Any]:
        """Return the counts and examples as plain values, for the receipt.

        Keys: seen, kept, changed {step: documents, "step: what": documents}, dropped [{step, reason, documents,
        examples [{id, text}]}].
        """
        dropped = [
            {"step": step, "reason": reason, "documents": count, "examples": list(self.examples[step, reason])}
            for (step, reason), count in sorted(self.dropped.items())
        ]
        order = {name: place for place, name in enumerate(self.steps)}
        named = sorted(self.changed.items(), key=lambda entry: (order[entry[0].partition(":")[0]], entry[0]))
        changed = {name: count for name, count in named if count}
        return {"seen": self.seen, "kept": self.kept, "changed": changed, "dropped": dropped}
