"""JSON lines, and JSON files that hold one list or several objects; read as a stream."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import ByteStream
from prospero.data.sources.json_path import JsonPath
from prospero.data.sources.json_window import JsonWindow
from prospero.data.sources.reading import NO_FIELD, Reading
from prospero.errors import DataError, suggest

BROKEN = "broken JSON lines left out"
TOO_LONG = "lines left out: longer than four times data.max_document_bytes"
NO_PLACE = "places left out: data.json_path does not go on there"
EMPTY_LISTS = "JSON files whose lists at data.json_path are empty"
TWICE = "objects with the text field twice: the last one was taken"


def read_json_lines(stream: ByteStream, name: str, reading: Reading) -> Iterator[Document]:
    """Give line `n` as document `name#n`, with a path its places as `name#n.1`, `name#n.2`, ...

    A broken line is counted and left out, a file of nothing else is an error.
    """
    rows = _Rows(name, reading)
    decode = json.JSONDecoder(object_pairs_hook=rows.object).decode
    path = None if reading.json_path is None else JsonPath(reading.json_path)
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
        if path is None:
            yield from rows.read(value, number)
            continue
        for place, inner in enumerate(path.values(value), 1):
            yield from rows.read(inner, f"{number}.{place}")
    if bad and not good:
        raise DataError(f"{name}: none of the {bad} lines is a JSON object, as .jsonl asks ({problem}).")
    if path is not None:
        rows.check(path)


def read_json(stream: ByteStream, name: str, reading: Reading) -> Iterator[Document]:
    """Give the n-th value of a list (or of values that follow each other, or at a path) as document `name#n`."""
    rows = _Rows(name, reading)
    decoder = json.JSONDecoder(object_pairs_hook=rows.object)
    if reading.json_path is not None:
        window = JsonWindow(reading.blocks(stream, name), name, decoder, 4 * reading.max_document_bytes)
        path = JsonPath(reading.json_path)
        for number, value in enumerate(_at_path(path, window), 1):
            yield from rows.read(value, number)
        rows.check(path)
        return
    values = json_values(decoder, reading.blocks(stream, name), name, 4 * reading.max_document_bytes)
    for number, value in enumerate(values, 1):
        yield from rows.read(value, number)


def _at_path(path: JsonPath, window: JsonWindow) -> Iterator[Any]:
    window.skip_space()
    while window.rest():
        yield from path.stream(window)
        window.skip_space()
        window.take(",")
        window.skip_space()


class _Rows:
    """Takes the text out of the values of one file."""

    def __init__(self, name: str, reading: Reading) -> None:
        self.name = name
        self.reading = reading
        self.found_field = False
        self.any_value = False

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return a JSON object, and count where it has the text field twice, of which only one can be taken."""
        value = dict(pairs)
        if len(value) < len(pairs) and sum(name == self.reading.text_field for name, _ in pairs) > 1:
            self.reading.notes[TWICE] += 1
        return value

    def read(self, value: Any, number: int | str) -> Iterable[Document]:
        """Give the document of one value: an object with the text field, or a text."""
        field = self.reading.text_field
        self.any_value = True
        if isinstance(value, dict):
            if field in value:
                self.found_field = True
                value = value[field]
            elif self.found_field:
                self.reading.notes[NO_FIELD] += 1
                return ()
            else:
                raise missing_field(f"{self.name}#{number}", field, value)
        elif isinstance(value, str):
            self.found_field |= self.reading.json_path is not None  # where a path leads to texts, others are left out
        elif not self.found_field:
            kind = type(value).__name__
            raise DataError(f"{self.name}#{number}: a {kind}, neither an object with a field '{field}' nor a text.")
        return self.reading.row(value, f"{self.name}#{number}")

    def check(self, path: JsonPath) -> None:
        """Count where a path did not go on; `DataError` when it led nowhere in the whole file."""
        if path.missed and not self.any_value:
            raise DataError(f"{self.name}: data.json_path={path.text} leads nowhere: {path.nowhere}")
        if not self.any_value:
            self.reading.notes[EMPTY_LISTS] += 1
        if path.missed:
            self.reading.notes[NO_PLACE] += path.missed


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
    text = JsonWindow(iter(blocks), name, decoder, limit)
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
        yield text.value()
        text.skip_space()
        text.take(",")
