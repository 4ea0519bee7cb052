"""Cleaned text on disk between two passes: the tokenizer must have seen the corpus before it is encoded."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from prospero.data.split import CorpusSize

LENGTH = struct.Struct("<Q")


class Spool:
    """A file of texts, each after its length in bytes; read in order, one text in memory at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = CorpusSize()

    def write(self, texts: Iterable[str]) -> None:
        """Write all `texts` and count them in `size`."""
        with open(self.path, "wb", buffering=2**20) as file:
            for text in texts:
                content = text.encode()
                file.write(LENGTH.pack(len(content)))
                file.write(content)
                self.size.documents += 1
                self.size.characters += len(text)

    def texts(self) -> Iterator[str]:
        """Yield the texts as they were written."""
        with open(self.path, "rb", buffering=2**20) as file:
            while header := file.read(LENGTH.size):
                yield file.read(LENGTH.unpack(header)[0]).decode()

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
