"""JSON lines, and JSON files that hold one list or several objects; read as a stream."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import ByteStream
from prospero.data.sources.reading import NO_FIELD, Reading
from prospero.errors import DataError, suggest

BROKEN = "broken JSON lines left out"
TOO_LONG = "lines left out: longer than four times data.max_document_bytes"
_SPACE = re.compile(r"[ \t\r\n]*")
_CLOSED = frozenset(']}"')
TWICE = "objects with the text field twice: the last one was taken"


def read_json_lines(stream: ByteStream, name: str, reading: Reading) -> Iterator[Document]:
    """Give line `n` as document `name#n`; a broken line is counted and left out, a file of nothing else is an error."""
    rows = _Rows(name, reading)
    decode = json.JSONDecoder(object_pairs_hook=rows.object).decode
    good = bad = 0
    problem = ""
    for number, line in enumerate(reading.lines(stream, name), 1):
        if line is None:
            reading.notes[TOO_LONG] += 1
            bad, problem = bad + 1, f"line {number} is longer than 4 x data.max_document_bytes"
            continue
        if line.isspace():
            continue
        try:
            value = decode(line.replace("\0", "") if "\0" in line else line)
        except (ValueError, RecursionError) as error:
            reading.notes[BROKEN] += 1
            bad, problem = bad + 1, problem or f"line {number}: {error}"
            continue
        good += 1
        yield from rows.read(value, number)
    if bad and not good:
        raise DataError(f"{name}: none of the {bad} lines is a JSON object, as .jsonl asks ({problem}).")


def read_json(stream: ByteStream, name: str, reading: Reading) -> Iterator[Document]:
    """Give the n-th value of a list (or of values that follow each other) as document `name#n`."""
    rows = _Rows(name, reading)
    decoder = json.JSONDecoder(object_pairs_hook=rows.object)
    values = json_values(decoder, reading.blocks(stream, name), name, 4 * reading.max_document_bytes)
    for number, value in enumerate(values, 1):
        yield from rows.read(value, number)


class _Rows:
    """Takes the text out of the values of one file."""

    def __init__(self, name: str, reading: Reading) -> None:
        self.name = name
        self.reading = reading
        self.found_field = False

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return a JSON object, and count where it has the text field twice, of which only one can be taken."""
        value = dict(pairs)
        if len(value) < len(pairs) and sum(name == self.reading.text_field for name, _ in pairs) > 1:
            self.reading.notes[TWICE] += 1
        return value

    def read(self, value: Any, number: int) -> Iterable[Document]:
        """Give the document of one value: an object with the text field, or a text."""
        field = self.reading.text_field
        if isinstance(value, dict):
            if field in value:
                self.found_field = True
                value = value[field]
            elif self.found_field:
                self.reading.notes[NO_FIELD] += 1
                return ()
            else:
                raise missing_field(f"{self.name}#{number}", field, value)
        elif not isinstance(value, str) and not self.found_field:
            kind = type(value).__name__
            raise DataError(f"{self.name}#{number}: a {kind}, neither an object with a field '{field}' nor a text.")
        return self.reading.row(value, f"{self.name}#{number}")


def missing_field(where: str, field: str, found: Iterable[str]) -> DataError:
    """Return the error for a row or table without the text field."""
    names = [str(name) for name in found]
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "none"
    return DataError(
        f"{where}: no field '{field}'; fields found: {listed}. Name the one with the text: data.text_field=..."
        + suggest(field, names)
    )


def json_values(decoder: json.JSONDecoder, blocks: Iterable[str], name: str, limit: int) -> Iterator[Any]:
    """Give the values of a list, or values one after another, holding no more than one of them and a block."""
    text = _Window(iter(blocks))
    text.skip_space()
    in_list = text.take("[")
    while True:
        text.skip_space()
        if in_list and text.take("]"):
            text.skip_space()
            if text.rest():
                raise DataError(
                    f"{name}: the JSON list ends at character {text.offset} and something follows; a .json file holds "
                    "one list, or objects one after another (.jsonl: one a line)."
                )
            return
        if not text.rest():
            if in_list:
                raise DataError(f"{name}: the JSON list does not end; the file is cut off (character {text.offset}).")
            return
        while True:
            try:
                value, end = decoder.raw_decode(text.buffer, text.start)
                # A number or word at the very end may go on in the next block.
                if end < len(text.buffer) or text.buffer[end - 1] in _CLOSED or not text.more():
                    break
            except (ValueError, RecursionError) as error:
                if len(text.buffer) - text.start > limit:
                    raise DataError(f"{name}: a JSON value is broken or longer than {limit} characters.") from None
                if isinstance(error, RecursionError) or not text.more():
                    raise DataError(f"{name}: not valid JSON near character {text.offset} ({error}).") from None
        text.start = end
        yield value
        text.skip_space()
        text.take(",")


class _Window:
    """The part of a stream of text that is being parsed; it doubles while a value does not fit."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self.blocks = blocks
        self.buffer = ""
        self.start = 0
        self.passed = 0

    @property
    def offset(self) -> int:
        """The place in the file, in characters."""
        return self.passed + self.start

    def more(self) -> bool:
        """Read at least as much again; return False at the end of the stream."""
        pieces = [self.buffer[self.start :]]
        wanted, got = max(1, len(pieces[0])), 0
        while got < wanted and (block := next(self.blocks, None)) is not None:
            pieces.append(block)
            got += len(block)
        if got:
            self.passed += self.start
            self.buffer, self.start = "".join(pieces), 0
        return got > 0

    def rest(self) -> bool:
        """Return whether there is anything left."""
        return self.start < len(self.buffer) or self.more()

    def skip_space(self) -> None:
        """Go to the next character that is not white space."""
        while True:
            self.start = _SPACE.match(self.buffer, self.start).end()  # type: ignore[union-attr]
            if self.start < len(self.buffer) or not self.more():
                return

    def take(self, character: str) -> bool:
        """Step over `character` when it comes next."""
        if not self.rest() or self.buffer[self.start] != character:
            return False
        self.start += 1
        return True
