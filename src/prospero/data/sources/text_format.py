"""Plain text: one document a file, or one between separator lines."""

import re
from collections.abc import Iterable, Iterator

from prospero.data.document import Document
from prospero.data.sources.compression import ByteStream
from prospero.data.sources.reading import Reading


def read_text(stream: ByteStream, name: str, reading: Reading) -> Iterator[Document]:
    """Give the file as one document `name`, or with a separator as `name#1`, `name#2`, ..."""
    blocks = reading.blocks(stream, name)
    if reading.document_separator is None:
        yield from reading.documents(blocks, name)
        return
    pieces = _Pieces(blocks, reading.document_separator)
    number = 1
    while not pieces.ended:
        found = False
        for document in reading.documents(pieces.until_separator(), f"{name}#{number}"):
            if not document.text.isspace():
                found = True
                yield document
        number += found


class _Pieces:
    """Cuts a stream of blocks at lines that equal the separator, surrounding white space apart."""

    def __init__(self, blocks: Iterable[str], separator: str) -> None:
        self.separator = separator.strip()
        escaped = re.escape(self.separator)
        self.pattern = re.compile(rf"^[ \t]*{escaped}[ \t]*\r?\n" if escaped else r"^[ \t]*\r?\n", re.MULTILINE)
        self.stream = self._scan(blocks)
        self.ended = False

    def until_separator(self) -> Iterator[str]:
        """Give the pieces of the next document."""
        for piece in self.stream:
            if piece is None:
                return
            yield piece
        self.ended = True

    def _scan(self, blocks: Iterable[str]) -> Iterator[str | None]:
        """Give pieces of text, and None where a separator line stood."""
        line_start = True  # whether `rest` begins at the start of a line
        rest = ""
        for block in blocks:
            rest += block
            end = rest.rfind("\n") + 1
            if end:
                whole, rest = rest[:end], rest[end:]
                if not line_start:  # the tail of a line already given cannot be a separator
                    tail = whole.index("\n") + 1
                    yield whole[:tail]
                    whole = whole[tail:]
                first, *others = self.pattern.split(whole)
                yield first
                for other in others:
                    yield None
                    yield other
                line_start = True
            if len(rest) > 4096 + len(self.separator):  # too long for a separator line: no need to keep it whole
                yield rest
                rest, line_start = "", False
        if line_start and rest and rest.strip() == self.separator:
            yield None
        elif rest:
            yield rest
