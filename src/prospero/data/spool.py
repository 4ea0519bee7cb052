"""Cleaned text on disk between two passes: the tokenizer must have seen the corpus before it is encoded."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from prospero.data.split import CorpusSize

RECORD = struct.Struct("<QI")
"""Before each text: its length in bytes, and the number of its source."""


class Spool:
    """A file of texts with their sources; read in order, one text in memory at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = CorpusSize()
        self._sources: dict[str, int] = {}

    def write(self, texts: Iterable[tuple[str, str]]) -> None:
        """Write all pairs of a text and its source and count them in `size`."""
        with open(self.path, "wb", buffering=2**20) as file:
            for text, source in texts:
                content = text.encode()
                file.write(RECORD.pack(len(content), self._sources.setdefault(source, len(self._sources))))
                file.write(content)
                self.size.documents += 1
                self.size.characters += len(text)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs as they were written."""
        sources = list(self._sources)
        with open(self.path, "rb", buffering=2**20) as file:
            while header := file.read(RECORD.size):
                length, source = RECORD.unpack(header)
                yield file.read(length).decode(), sources[source]

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
