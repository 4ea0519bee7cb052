"""Tables: comma- and tab-separated values, and Parquet; read row by row or batch by batch."""

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import COMPRESSIONS, ByteStream, open_bytes
from prospero.data.sources.json_format import missing_field
from prospero.data.sources.reading import BLOCK_BYTES, NO_FIELD, Reading
from prospero.errors import DataError

_BATCH_BYTES = 1 << 23
_USUAL_FIELD_LIMIT = 1 << 17  # that of the csv module


def read_csv(stream: ByteStream, name: str, reading: Reading, delimiter: str = ",") -> Iterator[Document]:
    """Give row `n` below the header as document `name#n`."""
    rows = csv.reader(_whole_lines(stream, name, reading), delimiter=delimiter)
    csv.field_size_limit(max(_USUAL_FIELD_LIMIT, 4 * reading.max_document_bytes))  # global to the csv module
    try:
        header = next(rows, None)
        if header is None:
            return
        if reading.text_field not in header:
            raise missing_field(name, reading.text_field, header)
        column = header.index(reading.text_field)
        for number, row in enumerate(rows, 1):
            if len(row) > column:
                yield from reading.row(row[column], f"{name}#{number}")
            elif row:
                reading.notes[NO_FIELD] += 1
    except csv.Error as error:
        raise DataError(f"{name}: not a well-formed table near line {rows.line_num} ({error}).") from None


def _whole_lines(stream: ByteStream, name: str, reading: Reading) -> Iterator[str]:
    for number, line in enumerate(reading.lines(stream, name), 1):
        if line is None:
            raise DataError(f"{name}: line {number} is longer than 4 x data.max_document_bytes; raise that setting.")
        yield line


def read_parquet(path: Path, name: str, reading: Reading) -> Iterator[Document]:
    """Give row `n` as document `name#n`; a compressed file is unpacked to a temporary one first."""
    if path.suffix.lower() in COMPRESSIONS:
        with open_bytes(path) as stream, tempfile.NamedTemporaryFile(suffix=".parquet") as unpacked:
            while block := stream.read(BLOCK_BYTES):
                unpacked.write(block)
            unpacked.flush()
            yield from _read_parquet(Path(unpacked.name), name, reading)
    else:
        yield from _read_parquet(path, name, reading)


def _read_parquet(path: Path, name: str, reading: Reading) -> Iterator[Document]:
    import pyarrow as arrow
    import pyarrow.parquet

    field = reading.text_field
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except arrow.ArrowInvalid as error:
        raise DataError(f"{name}: not a Parquet file although its ending says so ({_first_line(error)}).") from None
    with file:
        schema = file.schema_arrow
        if field not in schema.names:
            raise missing_field(name, field, schema.names)
        kind = schema.field(field).type
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
        as_bytes = {arrow.string(): arrow.binary(), arrow.large_string(): arrow.large_binary()}.get(kind, kind)
        if not (arrow.types.is_binary(as_bytes) or arrow.types.is_large_binary(as_bytes)):
            raise DataError(f"{name}: column '{field}' holds {kind}, not text; columns: {', '.join(schema.names)}.")
        number = 0
        for batch in file.iter_batches(batch_size=_batch_rows(file.metadata, field), columns=[field]):
            # As bytes: Parquet does not promise that its strings are valid UTF-8.
            column = batch.column(0)
            column = column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column
            for value in column.cast(as_bytes).to_pylist():
                number += 1
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
