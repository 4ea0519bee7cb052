"""Records: rows of jsonl, json, csv, tsv or parquet files or of the hub, by the names of their fields.

A field is named as it stands in the rows; a dot reaches into an object (`choices.text`), and through a list into each
of its objects.
"""

import csv
import importlib.util
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.data.receipt import digest
from prospero.data.sources.compression import COMPRESSIONS, open_bytes
from prospero.data.sources.find_files import TABLE_ENDINGS, FoundFile, find_files
from prospero.data.sources.hub import HubConfig, HubSource
from prospero.data.sources.json_format import json_values
from prospero.data.sources.reading import Reading
from prospero.errors import ConfigError, DataError, suggest

_INSTEAD = "records of your own (data.path=<file>), or a task made of what Python brings (tasks=[summarize])"
_LONGEST_RECORD_BYTES = 1 << 26


@dataclass(kw_only=True, slots=True)
class RecordsConfig:
    """Where records come from: files of your own, or a data set of the Hugging Face hub."""

    path: str | None = None
    """A file (jsonl, json, csv, tsv or parquet), a folder of such, or a glob."""
    dataset: str | None = None
    """Name on the hub, such as openai/gsm8k, or a local folder that `datasets` opens; in place of `path`."""
    subset: str | None = None
    """Configuration of the data set; * for all of them, one after another."""
    revision: str | None = None
    """Branch, tag or commit of the data set; only a commit makes sure that the records are the same tomorrow."""
    split: str = "test"
    """Split of the data set."""

    def __post_init__(self) -> None:
        if self.path is not None and self.dataset is not None:
            raise ConfigError(f"path={self.path} and dataset={self.dataset} are two sources; give one of them")
        if self.dataset is None and (self.subset is not None or self.revision is not None):
            raise ConfigError("subset and revision are those of a data set of the hub; give dataset=<owner/name> too")

    @property
    def given(self) -> bool:
        """Whether a source is named."""
        return self.path is not None or self.dataset is not None

    def read(self, fields: Sequence[str]) -> "list[Record]":
        """Return all records, with the fields named; DataError where one cannot be read or lacks a field."""
        records = [Record(place, row) for place, row in self._rows(fields)]
        for record in records:
            record.check(fields)
        if not records:
            raise DataError(f"{self.path or self.dataset} holds no record; a task needs one at least")
        return records

    def stream(self) -> "Iterator[Record]":
        """Give the records one by one, with all their fields; DataError where one cannot be read."""
        for place, row in self._rows(()):
            yield Record(place, row)

    def _rows(self, fields: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if self.path is not None:
            for file in _tables(self.path):
                yield from _rows_of(file, fields)
        elif self.dataset is not None:
            if importlib.util.find_spec("datasets") is None:
                raise ConfigError(f'{self.dataset} needs the package "datasets": pip install "prospero[hub]"')
            config = HubConfig(dataset=self.dataset, subset=self.subset, revision=self.revision, split=self.split)
            columns = list(dict.fromkeys(field.partition(".")[0] for field in fields))
            for number, row in enumerate(HubSource(config, self.dataset, _INSTEAD).rows(columns), 1):
                yield f"{self.dataset}, {self.split}, record {number}", row

    def describe(self) -> str:
        """Return where the records are from, in a few words."""
        parts = [self.path or self.dataset or "", self.subset or "", self.split if self.dataset else ""]
        return " ".join(part for part in parts if part)


class Record:
    """One row and its place, and its fields by name."""

    def __init__(self, place: str, row: Mapping[str, Any]) -> None:
        self.place, self.row = place, row

    def check(self, fields: Sequence[str]) -> None:
        """Raise DataError, with the fields found, when one is missing."""
        for field in fields:
            _found(self.row, field, self.place)

    def value(self, field: str) -> Any:
        """Return the value of a field."""
        return _found(self.row, field, self.place)

    def text(self, field: str) -> str:
        """Return a field that holds one text (or number); DataError when it does not."""
        value = self.value(field)
        if not isinstance(value, str | int | float):
            raise DataError(f"{self.place}: field '{field}' holds {kind_of(value)}, not a text{_inside(field, value)}")
        return sound(str(value))

    def texts(self, field: str) -> list[str]:
        """Return a field that holds one text or a list of texts; DataError when it holds anything else, or none."""
        value = self.value(field)
        values = value if isinstance(value, list | tuple) else [value]
        if not values or not all(isinstance(one, str | int | float) for one in values):
            wrong = next((one for one in values if not isinstance(one, str | int | float)), value)
            kind = "an empty list" if not values else kind_of(wrong)
            raise DataError(f"{self.place}: field '{field}' holds {kind}, not texts{_inside(field, wrong)}")
        return [sound(str(one)) for one in values]


def fingerprint(items: Iterable[Any]) -> str:
    """Return 32 hexadecimal digits that change with any part of any item (plain values)."""
    return digest(list(items))


def _found(row: Mapping[str, Any], field: str, place: str) -> Any:
    if field in row:
        return row[field]
    value: Any = row
    for name in field.split("."):
        inner = value[0] if isinstance(value, list | tuple) and value else value
        if not isinstance(inner, Mapping) or name not in inner:
            raise _missing(place, field, inner if isinstance(inner, Mapping) else row)
        value = [one[name] for one in value] if isinstance(value, list | tuple) else inner[name]
    return value


def _missing(place: str, field: str, found: Iterable[str]) -> DataError:
    names = [str(name) for name in found]
    listed = (", ".join(names[:20]) + (", ..." if len(names) > 20 else "")) or "none"
    near = suggest(field.rpartition(".")[2], names)
    return DataError(f"{place}: no field '{field}'; fields found: {listed}.{near} The task's settings name the fields")


def kind_of(value: Any) -> str:
    """Return in a word or two what kind of value this is."""
    names = {dict: "an object", list: "a list", tuple: "a list", type(None): "nothing (null)"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), f"a {type(value).__name__}")


def _inside(field: str, value: Any) -> str:
    """Say how to reach into an object."""
    if isinstance(value, Mapping) and value:
        return f"; reach into it with one of {', '.join(f'{field}.{name}' for name in list(value)[:8])}"
    return ""


def sound(text: str) -> str:
    """Replace what cannot be written as UTF-8: half of a character that JSON's escapes can name."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _tables(path: str) -> list[FoundFile]:
    files = find_files(path, Counter())
    wrong = [file for file in files if file.ending not in TABLE_ENDINGS]
    if wrong and len(wrong) == len(files):
        raise DataError(
            f"{wrong[0].path} has no rows with fields, going by its ending; records are read from "
            f"{', '.join(sorted(TABLE_ENDINGS))}"
        )
    return [file for file in files if file.ending in TABLE_ENDINGS]


def _rows_of(file: FoundFile, fields: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the rows of one file and their places; whatever goes wrong is one line that names the file."""
    try:
        if file.ending in (".parquet", ".pq"):
            yield from _parquet_rows(file, fields)
            return
        reading = Reading(max_document_bytes=_LONGEST_RECORD_BYTES)
        with open_bytes(file.path) as stream:
            if file.ending in (".csv", ".tsv"):
                yield from _csv_rows(file, _lines(file, reading.lines(stream, file.name)))
            elif file.ending == ".json":
                blocks = reading.blocks(stream, file.name)
                values = json_values(json.JSONDecoder(), blocks, str(file.path), 4 * _LONGEST_RECORD_BYTES)
                for number, value in enumerate(values, 1):
                    yield _object(file, f"record {number}", value)
            else:
                yield from _json_rows(file, _lines(file, reading.lines(stream, file.name)))
    except PermissionError:
        raise DataError(f"{file.path}: no permission to read; change its mode or its owner") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file.path}: damaged, cut off, or not what its ending says ({reason})") from None


def _lines(file: FoundFile, lines: Iterable[str | None]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line is None:
            raise DataError(f"{file.path} line {number} is longer than {4 * _LONGEST_RECORD_BYTES:,} bytes")
        yield line


def _json_rows(file: FoundFile, lines: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file.path} line {number} is no JSON ({error}); write one object a line") from None
        yield _object(file, f"line {number}", value)


def _object(file: FoundFile, place: str, value: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(value, dict):
        raise DataError(f"{file.path} {place} is {kind_of(value)}, not an object with named fields")
    return f"{file.path} {place}", value


def _csv_rows(file: FoundFile, lines: Iterator[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    is_tsv = file.ending == ".tsv"
    csv.field_size_limit(4 * _LONGEST_RECORD_BYTES)  # global to the csv module
    rows = csv.reader(
        lines,
        delimiter="\t" if is_tsv else ",",
        quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        strict=True,
    )
    header = next(rows, [])
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{file.path}: {header.count(twice)} columns are called '{twice}'; rename them in the file")
    for number, row in enumerate(rows, 1):
        if row and len(row) != len(header):
            found = f"the row that ends at line {rows.line_num} has {len(row)} fields, the header {len(header)}"
            raise DataError(f"{file.path}: {found}")
        if row:
            yield f"{file.path} row {number}", dict(zip(header, row))


def _parquet_rows(file: FoundFile, fields: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as arrow
    import pyarrow.parquet

    if file.path.suffix.lower() in COMPRESSIONS:
        raise DataError(f"{file.path}: unpack it first; Parquet compresses by itself")
    try:
        table = pyarrow.parquet.ParquetFile(file.path)
    except arrow.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file.path}: not a Parquet file although its ending says so ({reason})") from None
    with table:
        names = table.schema_arrow.names
        tops = {field: field if field in names else field.partition(".")[0] for field in fields}
        for field, top in tops.items():
            if top not in names:
                raise _missing(str(file.path), field, names)
        number = 0
        for batch in table.iter_batches(batch_size=256, columns=list(dict.fromkeys(tops.values())) or None):
            for row in batch.to_pylist():
                number += 1
                yield f"{file.path} row {number}", row
