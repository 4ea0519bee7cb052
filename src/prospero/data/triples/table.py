"""Triples from tables: a row a triple, separated by commas or tabs, with or without a header."""

import csv
from collections.abc import Iterator

from prospero.data.sources.find_files import FoundFile
from prospero.data.triples.reading import LONGEST_LINE_BYTES, TripleReading
from prospero.data.triples.triple import Triple
from prospero.errors import DataError, suggest


def read(file: FoundFile, delimiter: str, reading: TripleReading) -> Iterator[Triple]:
    """Yield the triples of a table; without a header its first three columns are subject, relation and object."""
    is_tsv = delimiter == "\t"
    csv.field_size_limit(4 * LONGEST_LINE_BYTES)  # global to the csv module
    quoting = csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL  # TSV as defined has no quotes
    rows = csv.reader(reading.lines(file), delimiter=delimiter, quoting=quoting, strict=True)
    places: list[int] | None = None
    width = 3
    try:
        for row in rows:
            where = f"{file.path} line {rows.line_num}"
            if not any(cell.strip() for cell in row) and len(row) < 2:
                continue
            if places is None:
                places, is_header = _columns(row, where, reading)
                if is_header:
                    width = len(row)
                    continue
            if len(row) != width:
                reading.refuse(where, _wrong_width(len(row), width, delimiter), f"not {width} fields")
                continue
            yield from reading.triple(where, (row[places[0]], row[places[1]], row[places[2]]))
    except csv.Error as error:
        raise DataError(f"{file.path} line {rows.line_num} is no row of a table ({error})") from None


def _columns(first: list[str], where: str, reading: TripleReading) -> tuple[list[int], bool]:
    """Return where subject, relation and object stand, and whether `first` is a header."""
    names = [cell.strip().lower() for cell in first]
    wanted = [name.strip().lower() for name in reading.columns]
    missing = [name for name in wanted if name not in names]
    named = wanted != ["subject", "relation", "object"]
    if reading.header is False or (reading.header is None and missing and not named):
        return [0, 1, 2], False
    if missing:
        found = ", ".join(cell.strip() for cell in first[:20])
        raise DataError(
            f"{where}: no column '{missing[0]}'; columns found: {found}.{suggest(missing[0], names)} Name them with "
            "columns=[subject,relation,object], or say header=false"
        )
    return [names.index(name) for name in wanted], True


def _wrong_width(found: int, width: int, delimiter: str) -> str:
    fields = f"{found} field" + ("" if found == 1 else "s")
    separated = "tabs" if delimiter == "\t" else "commas"
    wanted = "a triple has 3" if width == 3 else f"the header has {width}"
    return f"has {fields}, {wanted} (separated by {separated})"
