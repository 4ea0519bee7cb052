"""From bytes to documents: decoding with repairs that are counted, and cutting of texts that are too long."""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import ByteStream
from prospero.data.sources.signatures import signature
from prospero.errors import DataError

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 1 << 13

INVALID = "invalid byte sequences replaced by U+FFFD"
SURROGATES = "lone surrogates replaced by U+FFFD"
NULS = "NUL characters removed"
CUT = "texts cut into parts (data.max_document_bytes)"
DROPPED = "texts with invalid bytes dropped (data.encoding_errors=drop)"
NOT_TEXT = "rows left out: the text field is empty or not text"
NO_FIELD = "rows left out: no text field"

# Each invalid sequence becomes this lone surrogate while a text is put together: no decoder makes one otherwise.
_MARK = "\udc80"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROLS = bytes(b for b in range(1, 32) if b not in b"\b\t\n\v\f\r\x1b") + b"\x7f"
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class EncodingErrors(Enum):
    """What to do with bytes that are not valid in the encoding."""

    replace = "replace"
    strict = "strict"
    drop = "drop"


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error("prospero_mark", _mark)


@dataclass(kw_only=True, slots=True)
class Reading:
    """How files are read, and the count of what was repaired or left out on the way."""

    text_field: str = "text"
    document_separator: str | None = None
    max_document_bytes: int = 1 << 24
    encoding: str = "utf-8"
    encoding_errors: EncodingErrors = EncodingErrors.replace
    notes: Counter[str] = field(default_factory=Counter)
    json_path: str | None = None

    def blocks(self, stream: ByteStream, name: str) -> Iterator[str]:
        """Decode a stream in blocks; a byte-order mark decides the encoding and is taken off.

        Raises `DataError` when the first bytes are not text.
        """
        head = stream.read(HEAD_BYTES)
        encoding = next((codec for mark, codec in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
        if encoding is None:
            encoding = self.encoding
            refuse_binary(head, encoding, name)
        decoder = codecs.getincrementaldecoder(encoding)("prospero_mark")
        yield decoder.decode(head)
        while block := stream.read(BLOCK_BYTES):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)

    def lines(self, stream: ByteStream, name: str) -> Iterator[str | None]:
        r"""Give the decoded lines with their "\n"; None in place of one longer than four documents may be."""
        limit = 4 * self.max_document_bytes
        pending: list[str] = []
        length = 0
        for block in self.blocks(stream, name):
            first, *rest = block.split("\n")
            length += len(first)
            if length <= limit:
                pending.append(first)
            else:
                pending.clear()
            if rest:
                yield None if length > limit else "".join(pending) + "\n"
                for line in rest[:-1]:
                    yield line + "\n"
                pending, length = [rest[-1]], len(rest[-1])
        if length:
            yield None if length > limit else "".join(pending)

    def repaired(self, text: str, name: str) -> str | None:
        """Return the text without marks, lone surrogates and NUL characters, or None when it is to be dropped."""
        if "\0" in text:
            self.notes[NULS] += text.count("\0")
            text = text.replace("\0", "")
        if text.isascii():
            return text
        if invalid := text.count(_MARK):
            if self.encoding_errors is EncodingErrors.strict:
                place = text.count("\n", 0, text.index(_MARK)) + 1
                raise DataError(
                    f"{name}: bytes that are not {self.encoding} (line {place} of the text, {invalid} in all). "
                    "Give data.encoding=..., or data.encoding_errors=replace or drop."
                )
            if self.encoding_errors is EncodingErrors.drop:
                self.notes[DROPPED] += 1
                return None
            self.notes[INVALID] += invalid
            text = text.replace(_MARK, "\ufffd")
        return text

    def documents(self, pieces: Iterable[str], name: str) -> Iterator[Document]:
        """Give the text of `pieces` joined, as one document, or as several when it is too long."""
        cutter = Cutter(self.max_document_bytes)
        part = 0
        for piece in pieces:
            for text in cutter.add(piece):
                part += 1
                yield from self._short(text, f"{name}#part{part}")
        yield from self._short(cutter.finish(), f"{name}#part{part + 1}" if part else name)
        if part:
            self.notes[CUT] += 1

    def _short(self, text: str, name: str) -> tuple[Document, ...]:
        repaired = self.repaired(text, name)
        return (Document(text=repaired, id=name),) if repaired else ()

    def row(self, value: Any, name: str) -> Iterable[Document]:
        """Give the text field of one row: text or UTF-8 bytes; anything else is counted and left out."""
        if isinstance(value, bytes):
            value = value.decode("utf-8", "prospero_mark")
        elif isinstance(value, str) and not value.isascii():
            value = self._without_surrogates(value)
        if not value or not isinstance(value, str):
            self.notes[NOT_TEXT] += 1
            return ()
        if len(value) * 4 <= self.max_document_bytes:
            return self._short(value, name)
        return self.documents([value], name)

    def _without_surrogates(self, text: str) -> str:
        """Replace what a JSON escape such as \\ud83d alone stands for; the marks of invalid bytes stay."""
        try:
            text.encode()
        except UnicodeEncodeError:
            found = _LONE_SURROGATE.findall(text)
            others = len(found) - found.count(_MARK)
            if others:
                self.notes[SURROGATES] += others
                text = _LONE_SURROGATE.sub(lambda m: _MARK if m.group() == _MARK else "\ufffd", text)
        return text


class Cutter:
    """Joins pieces of one text, and cuts at a line end, else a space, before the limit in UTF-8 bytes is passed."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit = limit_bytes
        self.pending: list[str] = []
        self.size = 0

    def add(self, text: str) -> Iterator[str]:
        """Take a piece of any length and give the parts that are full; each is over half the limit or so."""
        step = max(1, self.limit // 8)  # in characters of at most four bytes: at most half the limit
        for start in range(0, len(text), step):
            piece = text if len(text) <= step else text[start : start + step]
            size = _utf8_size(piece)
            while self.size + size > self.limit and self.size:
                full = "".join(self.pending)
                cut = full.rfind("\n", len(full) // 2) + 1 or full.rfind(" ", len(full) // 2) + 1 or len(full)
                self.pending = [full[cut:]]
                self.size = _utf8_size(full[cut:])
                yield full[:cut]
            self.pending.append(piece)
            self.size += size

    def finish(self) -> str:
        """Return what is left, and begin again."""
        text = "".join(self.pending)
        self.pending, self.size = [], 0
        return text


def refuse_binary(head: bytes, encoding: str, name: str) -> None:
    """Raise `DataError` when the first bytes of a file, in an encoding made of bytes, cannot be text."""
    if found := signature(head):
        raise DataError(f"{name}: not text, it looks like {found}; give it its right ending or leave it out.")
    if len(head) < 64 or codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        return
    if head.count(0, 0, len(head)) > 0.3 * len(head) and not (head[0::2].strip(b"\0") and head[1::2].strip(b"\0")):
        order = "le" if head[0::2].strip(b"\0") else "be"
        raise DataError(f"{name}: looks like UTF-16 without a byte-order mark; give data.encoding=utf-16-{order}.")
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > 0.05 * len(head):
        raise DataError(f"{name}: not text ({controls} control characters in the first {len(head)} bytes).")
    invalid = head.decode(encoding, "prospero_mark").count(_MARK)
    if invalid > 0.3 * len(head):
        raise DataError(
            f"{name}: not {encoding} text ({invalid} invalid bytes in the first {len(head)}); "
            "give its encoding (data.encoding=cp1252, shift_jis, ...) or leave it out."
        )


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
