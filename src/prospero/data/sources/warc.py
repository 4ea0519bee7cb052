"""WARC, the files of web archives (ISO 28500): the pages and plain texts in them, record by record.

A reader of our own, for those at hand end without a word where a file is cut off, or say it on standard error alone.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prospero.data.document import Document
from prospero.data.sources.compression import UNPACKING, ByteStream
from prospero.data.sources.reading import Reading
from prospero.data.sources.web_pages import TOO_LONG, Html, page_documents
from prospero.errors import DataError
from prospero.printable import printable

WARC_ENDINGS = frozenset({".warc", ".wet"})
CUT_OFF = "pages that their crawler cut off, taken as they are"
_LEFT = "WARC records left out: "
_NOT_TEXT = _LEFT + "neither HTML nor plain text"
_STATUS = _LEFT + "HTTP status other than 200"
_PACKED = _LEFT + "their content does not unpack"
_NO_HTTP = _LEFT + "responses without HTTP"
_KINDS = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})
_HEADER_BYTES = 1 << 16
_BLOCK = 1 << 16
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,256}\r\n")
_VERSION = re.compile(rb"WARC/\d+\.\d+\s*")


@dataclass(slots=True)
class Record:
    """A record: its number from 1, its fields by lower-case names, and its block; None for one that is left out."""

    number: int
    fields: Mapping[str, str]
    block: bytes | None


def read_warc(stream: ByteStream, name: str, reading: Reading, html: Html) -> Iterator[Document]:
    """Give the page or text of record `n` as document `name#n`; what is left out is counted by its kind.

    Raises `DataError` for a file that is no WARC, is damaged or is cut off.
    """
    for record in _placed(records(stream, name, reading), name):
        if record.block is None:
            continue
        document = f"{name}#{record.number}"
        if "warc-truncated" in record.fields:
            reading.notes[CUT_OFF] += 1
        if record.fields.get("warc-type") == "response":
            yield from _response(record.block, document, reading, html)
        else:
            yield from _content(record.block, record.fields.get("content-type", ""), document, reading, html)


def _placed(records: Iterator[Record], name: str) -> Iterator[Record]:
    """Say behind which record the unpacker of a file failed."""
    last = 0
    try:
        for record in records:
            last = record.number
            yield record
    except UNPACKING as error:
        raise DataError(f"{name}: damaged or cut off behind its record {last} ({error}).") from None


def records(stream: ByteStream, name: str, reading: Reading) -> Iterator[Record]:
    """Give all records of a file, with the blocks of those that may hold text."""
    file = _Buffered(stream)
    number = 0
    while (line := file.line()) != b"":
        if not line.strip():
            continue
        number += 1
        where = f"{name}: record {number}"
        if _VERSION.fullmatch(line) is None:
            raise DataError(f"{where} is damaged, or this is no WARC file (it begins with {line[:12]!r})")
        fields = _fields(file, where)
        length = fields.get("content-length", "")
        if re.fullmatch(r"[0-9]{1,18}", length) is None:
            raise DataError(f"{where} has no sound Content-Length ({printable(length[:20])!r})")
        wanted = _is_wanted(fields, int(length), reading)
        block = file.take(int(length), keep=wanted)
        if len(block) < int(length) if wanted else file.missing:
            raise DataError(f"{where} is cut off: the file ends before its {length} bytes do")
        yield Record(number, fields, block if wanted else None)


def _is_wanted(fields: Mapping[str, str], length: int, reading: Reading) -> bool:
    kind = fields.get("warc-type", "")
    if kind not in ("response", "resource", "conversion") or "warc-segment-number" in fields:
        kind = "continuation" if "warc-segment-number" in fields else kind
        reading.notes[_LEFT + (kind if kind in _KINDS else "of no known kind")] += 1
    elif length > 4 * reading.max_document_bytes:
        reading.notes[TOO_LONG] += 1
    else:
        return True
    return False


def _fields(file: "_Buffered", where: str) -> dict[str, str]:
    """Read the named fields up to the empty line."""
    lines: list[bytes] = []
    size = 0
    while (line := file.line()).strip():
        lines.append(line)
        size += len(line)
        if size > _HEADER_BYTES:
            raise DataError(f"{where} is damaged: its header does not end within {_HEADER_BYTES} bytes")
    if not line:
        raise DataError(f"{where} is cut off within its header")
    return _named(lines)


def _named(lines: list[bytes]) -> dict[str, str]:
    """Return fields by their lower-case names; a line that begins with a space goes on with the one before."""
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.decode("utf-8", "replace")
        if text[:1] in " \t" and name:
            fields[name] += " " + text.strip()
        else:
            name, _, value = text.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


class _Buffered:
    """A stream of bytes, read by lines and by lengths."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._waiting = stream, b""
        self.missing = False

    def line(self) -> bytes:
        """Return the next line with its end, a piece of one that is too long for a header; nothing at the end."""
        pieces: list[bytes] = []
        size = 0
        while size <= _HEADER_BYTES:
            end = self._waiting.find(b"\n") + 1
            piece = self._waiting[: end or None]
            self._waiting = self._waiting[len(piece) :]
            pieces.append(piece)
            size += len(piece)
            if end or not (block := self._stream.read(_BLOCK)):
                break
            self._waiting = block
        return b"".join(pieces)

    def take(self, n: int, *, keep: bool) -> bytes:
        """Step over `n` bytes and return those that there are, when they are wanted; `missing` when they end."""
        pieces: list[bytes] = []
        while n > 0:
            if not self._waiting:
                self._waiting = self._stream.read(_BLOCK)
            piece, self._waiting = self._waiting[:n], self._waiting[n:]
            if not piece:
                break
            n -= len(piece)
            if keep:
                pieces.append(piece)
        self.missing = n > 0
        return b"".join(pieces)


def _response(block: bytes, name: str, reading: Reading, html: Html) -> Iterator[Document]:
    head, blank, body = block.partition(b"\r\n\r\n")
    if not blank:
        head, blank, body = block.partition(b"\n\n")
    status, *lines = head.splitlines() or [b""]
    if not status.startswith(b"HTTP/") or not blank:
        reading.notes[_NO_HTTP] += 1
        return
    if status.split(None, 2)[1:2] != [b"200"]:
        reading.notes[_STATUS] += 1
        return
    fields = _named(lines)
    if _kind(fields.get("content-type", "")) is None:
        reading.notes[_NOT_TEXT] += 1
        return
    if fields.get("transfer-encoding", "").lower() == "chunked":
        body = _joined(body)
    unpacked = _unpacked(body, fields.get("content-encoding", "").lower(), 4 * reading.max_document_bytes)
    if unpacked is None:
        reading.notes[_PACKED] += 1
        return
    yield from _content(unpacked, fields.get("content-type", ""), name, reading, html)


def _content(body: bytes, content_type: str, name: str, reading: Reading, html: Html) -> Iterator[Document]:
    kind = _kind(content_type)
    if kind is None:
        reading.notes[_NOT_TEXT] += 1
        return
    charset = re.search(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]+)", content_type, re.IGNORECASE)
    yield from page_documents(body, charset[1] if charset else None, name, reading, html if kind == "html" else None)


def _kind(content_type: str) -> str | None:
    kinds = {"text/html": "html", "application/xhtml+xml": "html", "text/plain": "plain"}
    return kinds.get(content_type.partition(";")[0].strip().lower())


def _joined(body: bytes) -> bytes:
    """Join the chunks of HTTP (RFC 9112, section 7.1); many crawlers have joined them already and kept the field."""
    pieces: list[bytes] = []
    place = 0
    while (found := _CHUNK.match(body, place)) is not None:
        size = int(found[1], 16)
        start, place = found.end(), found.end() + size + 2
        if not size:
            return b"".join(pieces)
        pieces.append(body[start : start + size])
        if body[place - 2 : place] != b"\r\n":
            break
    whole = pieces and place >= len(body)  # cut off within its last chunk
    return b"".join(pieces) if whole else body


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Undo a Content-Encoding; None for one that is not known, is damaged, or unpacks to more than `limit` bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    if encoding != "deflate" and not body.startswith(b"\x1f\x8b"):
        return body  # unpacked by the crawler, which kept the field
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # with a header of gzip or zlib, or the bare stream
        unpacker = zlib.decompressobj(window)
        try:
            text = unpacker.decompress(body, limit + 1)
        except zlib.error:
            continue
        return text if len(text) <= limit and unpacker.eof else None
    return None
