"""Text from the user's own files: a file, a folder or a glob; text, JSON, tables, and their compressed forms."""

import codecs
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import COMPRESSIONS, open_bytes
from prospero.data.sources.find_files import FoundFile, find_files, listing_hash
from prospero.data.sources.json_format import read_json, read_json_lines
from prospero.data.sources.reading import EncodingErrors, Reading
from prospero.data.sources.source import SourceConfig
from prospero.data.sources.table_format import read_csv, read_parquet
from prospero.data.sources.text_format import read_text
from prospero.errors import ConfigError, DataError

_PACKING_RATIO = 3  # a rough guess, for the progress bar alone
_SMALLEST_DOCUMENT = 16


class BadFiles(Enum):
    """What to do with a file that is not what its ending says, or is damaged."""

    error = "error"
    skip = "skip"


@dataclass(kw_only=True, slots=True)
class FilesConfig(SourceConfig):
    """Your own files: txt, md, source code, jsonl, json, csv, tsv, parquet; each also .gz .bz2 .xz .zst."""

    path: str | None = None
    """A file, a folder (read with all folders below it) or a glob such as `texts/**/*.md`."""
    text_field: str = "text"
    """The field or column that holds the text (json, jsonl, csv, tsv, parquet)."""
    document_separator: str | None = None
    """A line that equals this ends a document in a plain text file; an empty string means a blank line."""
    encoding: str = "utf-8"
    """Encoding of text, json, csv and tsv files; a byte-order mark in a file has precedence."""
    encoding_errors: EncodingErrors = EncodingErrors.replace
    """Invalid bytes: replace by U+FFFD and count, strict stops, drop leaves the document out and counts it."""
    tsv_quotes: bool = False
    """In .tsv, take double quotes as those of .csv, round a text with tabs or line ends; TSV as defined has none."""
    max_unpacking_ratio: int | None = 200
    """A packed file, or Parquet, beyond 64 MB that unpacks to more times its size is refused; null: no limit."""
    max_document_bytes: int = 16777216
    """Longer texts are cut into parts at a line end or a space, in bytes of UTF-8; this bounds the memory."""
    bad_files: BadFiles = BadFiles.error
    """A file that is not what its ending says, or is damaged: stop, or skip it and count it."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if self.max_document_bytes < _SMALLEST_DOCUMENT:
            raise ConfigError(f"max_document_bytes={self.max_document_bytes}: at least {_SMALLEST_DOCUMENT} bytes.")
        if self.max_unpacking_ratio is not None and self.max_unpacking_ratio < 1:
            raise ConfigError(f"max_unpacking_ratio={self.max_unpacking_ratio}: give 1 or more, or null for no limit.")
        if not self.text_field:
            raise ConfigError("text_field is empty; give the name of the field that holds the text.")
        try:
            is_text = codecs.lookup(self.encoding)._is_text_encoding  # type: ignore[attr-defined]
        except LookupError:
            is_text = False
        if not is_text:
            known = "utf-8, utf-16, cp1252, shift_jis, ..."
            raise ConfigError(
                f"encoding='{self.encoding}' is not a text encoding that Python knows; choose from {known}"
            )

    def build(self) -> "FilesSource":
        """Find the files; raises `ConfigError` without a path and `DataError` when there is nothing to read."""
        if not self.path:
            raise ConfigError("data=files needs the text: give data.path=<file, folder or glob>.")
        return FilesSource(self, self.path)


class FilesSource:
    """The documents of a list of files, in the order of their names; each file is a source."""

    def __init__(self, config: FilesConfig, path: str) -> None:
        self.config = config
        self.path = path
        self.found_notes: Counter[str] = Counter()
        self.files = find_files(path, self.found_notes)
        self.notes = Counter(self.found_notes)

    def documents(self) -> Iterator[Document]:
        """Read every file; raises `DataError` naming the file that cannot be read, or when there is no text at all."""
        self.notes.clear()
        self.notes.update(self.found_notes)
        config = self.config
        reading = Reading(
            text_field=config.text_field,
            document_separator=config.document_separator,
            max_document_bytes=config.max_document_bytes,
            encoding=config.encoding,
            encoding_errors=config.encoding_errors,
            notes=self.notes,
        )
        any_text = False
        for file in self.files:
            if not file.size:
                self.notes["empty files"] += 1
                continue
            try:
                for document in _read(file, reading, config):
                    any_text = True
                    document.source = file.name
                    yield document
            except DataError as error:
                if config.bad_files is BadFiles.error:
                    raise
                self.notes[f"bad files skipped: {error}"] += 1
        if not any_text:
            counted = "; ".join(f"{count} {reason}" for reason, count in self.notes.items())
            raise DataError(f"{self.path} gave no text ({counted or 'nothing but empty texts'}).")

    def identity(self) -> dict[str, Any]:
        """Return the settings that change the text and a hash over names, sizes and times of change."""
        config = self.config
        return {
            "source": "files",
            "text_field": config.text_field,
            "document_separator": config.document_separator,
            "tsv_quotes": config.tsv_quotes,
            "encoding": config.encoding,
            "encoding_errors": config.encoding_errors.name,
            "max_document_bytes": config.max_document_bytes,
            "bad_files": config.bad_files.name,
            **listing_hash(self.files),
        }

    def describe(self) -> str:
        """Return for example "12 files of texts/, 3.4 MB"."""
        megabytes = sum(file.size for file in self.files) / 1e6
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files of"
        return f"{files} {self.path}, {megabytes:.1f} MB"

    def size_bytes(self) -> int | None:
        """Return the size of the files, packed ones taken three times."""
        return sum(file.size * (_PACKING_RATIO if _is_packed(file) else 1) for file in self.files)


def _is_packed(file: FoundFile) -> bool:
    return file.path.suffix.lower() in COMPRESSIONS or file.ending in (".parquet", ".pq")


def _read(file: FoundFile, reading: Reading, config: FilesConfig) -> Iterator[Document]:
    """Read one file by its ending; whatever goes wrong becomes one line that begins with its path."""
    try:
        if file.ending in (".parquet", ".pq"):
            yield from read_parquet(file.path, file.name, reading, config.max_unpacking_ratio)
            return
        with open_bytes(file.path, config.max_unpacking_ratio) as stream:
            if file.ending in (".jsonl", ".ndjson"):
                yield from read_json_lines(stream, file.name, reading)
            elif file.ending == ".json":
                yield from read_json(stream, file.name, reading)
            elif file.ending in (".csv", ".tsv"):
                is_tsv = file.ending == ".tsv"
                quotes = config.tsv_quotes or not is_tsv
                yield from read_csv(stream, file.name, reading, "\t" if is_tsv else ",", quotes=quotes)
            else:
                yield from read_text(stream, file.name, reading)
    except DataError as error:
        message = str(error)
        if message.startswith(file.name):
            message = str(file.path) + message[len(file.name) :]
        raise DataError(message) from None
    except PermissionError:
        raise DataError(f"{file.path}: no permission to read; change its mode or its owner.") from None
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file.path}: damaged, cut off, or not what its ending says ({reason}).") from None
