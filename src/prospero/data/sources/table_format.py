"""Tables: comma- and tab-separated values, and Parquet; read row by row or batch by batch."""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

from prospero.data.document import Document
from prospero.data.sources.compression import COMPRESSIONS, ByteStream, Expansion, unpacked
from prospero.data.sources.find_files import FoundFile
from prospero.data.sources.json_format import missing_field
from prospero.data.sources.reading import BLOCK_BYTES, NO_FIELD, Reading
from prospero.errors import DataError

_BATCH_BYTES = 1 << 23
_USUAL_FIELD_LIMIT = 1 << 17  # that of the csv module

SPANS_LINES = "quoted texts that span lines"
QUOTES_KEPT = "texts in double quotes, which are taken as part of the text (data.tsv_quotes)"


def read_csv(
    stream: ByteStream, name: str, reading: Reading, delimiter: str = ",", *, quotes: bool = True
) -> Iterator[Document]:
    """Give row `n` below the header as document `name#n`.

    Without `quotes` a double quote is a character like any other, as the definition of TSV has it (IANA, 1993). Raises
    `DataError` for quotes that do not pair up and for rows wider than the header: their texts would run together or be
    cut off.
    """
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    lines = _whole_lines(stream, name, reading)
    rows = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    csv.field_size_limit(max(_USUAL_FIELD_LIMIT, 4 * reading.max_document_bytes))  # global to the csv module
    try:
        header = next(rows, None)
        if header is None:
            return
        column = _the_column(name, reading.text_field, header)
        for number, row in enumerate(rows, 1):
            if any(row[len(header) :]):  # empty cells at the end are harmless: spreadsheets write them
                raise DataError(_too_wide(name, rows.line_num, len(row), len(header), delimiter, quotes))
            if len(row) > column:
                _count_quotes(row[column], reading, quotes)
                yield from reading.row(row[column], f"{name}#{number}")
            elif row:
                reading.notes[NO_FIELD] += 1
    except csv.Error as error:
        raise DataError(f"{name}: not a well-formed table near line {rows.line_num} ({error}).") from None


def _the_column(name: str, field: str, header: Sequence[str]) -> int:
    """Return where the text field stands; raises `DataError` when it stands nowhere or in several places."""
    if field not in header:
        raise missing_field(name, field, header)
    if header.count(field) > 1:
        raise DataError(
            f"{name}: {header.count(field)} columns are called '{field}'; rename them in the file, or name another "
            "column: data.text_field=..."
        )
    return header.index(field)


def _too_wide(name: str, line: int, found: int, expected: int, delimiter: str, quotes: bool) -> str:
    if quotes:
        what = f"a text with a {'tab' if delimiter == chr(9) else 'comma'} in it must stand in double quotes"
    else:
        what = "a text in a .tsv file cannot hold a tab, unless data.tsv_quotes=true and it stands in double quotes"
    return f"{name}: the row that ends at line {line} has {found} fields, the header {expected}; {what}."


def _count_quotes(text: str, reading: Reading, quotes: bool) -> None:
    if quotes and "\n" in text:
        reading.notes[SPANS_LINES] += 1
    elif not quotes and len(text) > 1 and text[0] == text[-1] == '"':
        reading.notes[QUOTES_KEPT] += 1


def _whole_lines(stream: ByteStream, name: str, reading: Reading) -> Iterator[str]:
    for number, line in enumerate(reading.lines(stream, name), 1):
        if line is None:
            raise DataError(f"{name}: line {number} is longer than 4 x data.max_document_bytes; raise that setting.")
        yield line


def read_parquet(file: FoundFile, reading: Reading, max_ratio: int | None = None) -> Iterator[Document]:
    """Give row `n` as document `name#n`; a compressed file is unpacked to a temporary one first.

    Raises `DataError` when the texts are more than `max_ratio` times as long as the file.
    """
    expansion = Expansion(file.place, file.size, max_ratio)
    compression = COMPRESSIONS.get(file.path.suffix.lower())
    with file.open() as opened:
        if compression is None:
            yield from _read_parquet(opened, file.name, reading, expansion)
            return
        stream = unpacked(opened, compression, Expansion(file.place, file.size, max_ratio))
        with tempfile.TemporaryFile(suffix=".parquet") as plain:
            while block := stream.read(BLOCK_BYTES):
                plain.write(block)
            plain.seek(0)
            yield from _read_parquet(plain, file.name, reading, expansion)


def _read_parquet(opened: IO[bytes], name: str, reading: Reading, expansion: Expansion) -> Iterator[Document]:
    import pyarrow as arrow
    import pyarrow.parquet

    field = reading.text_field
    try:
        file = pyarrow.parquet.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20)
    except arrow.ArrowInvalid as error:
        raise DataError(f"{name}: not a Parquet file although its ending says so ({_first_line(error)}).") from None
    with file:
        schema = file.schema_arrow
        kind = schema.field(_the_column(name, field, schema.names)).type
        if isinstance(kind, arrow.BaseExtensionType):
            kind = kind.storage_type
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
        text_kinds = {
            arrow.string(): arrow.binary(),
            arrow.large_string(): arrow.large_binary(),
            arrow.string_view(): arrow.binary_view(),
        }
        as_bytes = text_kinds.get(kind, kind)
        if as_bytes not in text_kinds.values():
            raise DataError(f"{name}: column '{field}' holds {kind}, not text; columns: {', '.join(schema.names)}.")
        number = 0
        for batch in file.iter_batches(batch_size=_batch_rows(file.metadata, field), columns=[field]):
            # As bytes: Parquet does not promise that its strings are valid UTF-8.
            column = batch.column(0)
            column = column.storage if isinstance(column, arrow.ExtensionArray) else column
            column = column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column
            for value in column.cast(as_bytes).to_pylist():
                number += 1
                expansion.add(len(value or b""))
                yield from reading.row(value, f"{name}#{number}")


def _batch_rows(metadata: Any, field: str) -> int:
    """Return how many rows hold about eight megabytes of text, at least one, going by the file's largest row group."""
    rows = 1024
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            if column.path_in_schema == field:
                mean = column.total_uncompressed_size // max(1, row_group.num_rows)
                rows = min(rows, _BATCH_BYTES // max(1, mean))
    return max(1, rows)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
