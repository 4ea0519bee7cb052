"""Repeated parts of documents: paragraphs or lines that an earlier document, or the same, has had already."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from prospero.data.dedup.on_disk import scratch
from prospero.errors import ConfigError

DIGEST = 8
"""Bytes of a part's digest: of n parts two different ones are taken for one with probability n^2 / 2^65."""
EXAMPLES = 10
SHOWN = 200
"""Characters of a part that the receipt shows."""
PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
"""What stands between paragraphs: an empty line or several, with the indentation of what follows."""


@dataclass(frozen=True, slots=True)
class PartsSketch:
    """The digests, one after the other, of the parts of a text that are long enough to count."""

    paragraphs: bool
    min_characters: int

    def __call__(self, text: str) -> bytes:
        """Return `DIGEST` bytes for each."""
        plain = (" ".join(part.split()) for part in self.split(text)[::2])
        return b"".join(
            blake2b(part.casefold().encode(), digest_size=DIGEST).digest()
            for part in plain
            if len(part) >= self.min_characters
        )

    def split(self, text: str) -> list[str]:
        """Return part, what stands behind it, part, ...; joined they are the text."""
        if not self.paragraphs:
            return [piece for line in text.split("\n") for piece in (line, "\n")][:-1]
        found, at = list[str](), 0
        for between in PARAGRAPH.finditer(text):
            found += [text[at : between.start()], between.group()]
            at = between.end()
        return [*found, text[at:]]

    def counts(self, part: str) -> bool:
        """Whether a part is long enough."""
        return len(" ".join(part.split())) >= self.min_characters


class PartsDedup:
    """Digests of all parts, in a file: about 20 bytes for each different one."""

    def __init__(self, name: str, sketch: PartsSketch, folder: Path) -> None:
        self.name, self.sketch = name, sketch
        self._path = folder / "dedup.sqlite"
        self._file = scratch(self._path, "seen (digest INTEGER PRIMARY KEY) WITHOUT ROWID")
        self._counts = dict.fromkeys(("looked_at", "removed", "characters_removed", "documents_shortened"), 0)
        self._examples: list[dict[str, str]] = []

    def keep(self, text: str, sketch: bytes, document_id: str) -> str | None:
        """Return the text without the parts that were there before; None when nothing but white space is left."""
        digests = [
            int.from_bytes(sketch[at : at + DIGEST], "little", signed=True) for at in range(0, len(sketch), DIGEST)
        ]
        again = self._seen_before(digests)
        self._counts["looked_at"] += len(digests)
        if not any(again):
            return text
        pieces, number = self.sketch.split(text), 0
        kept: list[str] = []
        for place in range(0, len(pieces), 2):
            part, between = pieces[place], "".join(pieces[place + 1 : place + 2])
            if self.sketch.counts(part):
                number += 1
                if again[number - 1]:
                    self._note(part, document_id)
                    continue
            kept += [part, between]
        found = "".join(kept)
        found = found if text.endswith("\n") else found.rstrip()
        if not found or found.isspace():
            return None
        self._counts["documents_shortened"] += 1
        return found

    def report(self) -> dict[str, Any]:
        """Return how many parts were looked at and removed, in how many documents, with examples."""
        return {"method": self.name, **self._counts, "examples": self._examples}

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _seen_before(self, digests: Iterable[int]) -> list[bool]:
        """Remember digests, and return for each whether it was there."""
        insert = "INSERT OR IGNORE INTO seen VALUES (?)"
        return [self._file.execute(insert, (digest,)).rowcount == 0 for digest in digests]

    def _note(self, part: str, document_id: str) -> None:
        self._counts["removed"] += 1
        self._counts["characters_removed"] += len(part)
        if len(self._examples) < EXAMPLES:
            self._examples.append({"document": document_id, "text": part.strip()[:SHOWN]})


def check_min_characters(min_characters: int) -> None:
    """Raise ConfigError for a bound that is none."""
    if min_characters < 1:
        raise ConfigError(f"dedup.min_characters={min_characters} must be 1 or more")
