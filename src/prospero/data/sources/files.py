"""Text from the user's own files: files, folders or globs, here or on other machines, in every form of `formats`."""

import codecs
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import COMPRESSIONS
from prospero.data.sources.find_all import find_all
from prospero.data.sources.find_files import FoundFile, listing_hash
from prospero.data.sources.formats import BAD_FILES, Formats, archive_kind
from prospero.data.sources.json_path import JsonPath
from prospero.data.sources.reading import EncodingErrors, Reading
from prospero.data.sources.source import SourceConfig
from prospero.data.sources.warc import WARC_ENDINGS
from prospero.data.sources.web_pages import HTML_ENDINGS, Html, check_html, html_identity
from prospero.errors import ConfigError, DataError

_PACKING_RATIO = 3  # a rough guess, for the progress bar alone
_SMALLEST_DOCUMENT = 16


class BadFiles(Enum):
    """What to do with a file that is not what its ending says, or is damaged."""

    error = "error"
    skip = "skip"


@dataclass(kw_only=True, slots=True)
class FilesConfig(SourceConfig):
    """Your own files: txt, md, code, html, jsonl, json, csv, tsv, parquet, warc, packed or not, and in tar and zip."""

    path: str | None = None
    """A file, a folder (read with all folders below it) or a glob such as `texts/**/*.md` or `{a,b}/*.txt`; with
    s3://, gs://, hf:// and others before it, those of a server (needs prospero[remote])."""
    paths: list[str] = field(default_factory=list, metadata={"decides": "if given"})
    """Several such paths in place of `path`, read in this order; a file that two of them mean is read once."""
    text_field: str = "text"
    """The field or column that holds the text (json, jsonl, csv, tsv, parquet)."""
    json_path: str | None = field(default=None, metadata={"decides": "if given"})
    """Where texts, or objects with the text field, stand in json and jsonl: `items.*.body` (* for each of a list)."""
    html: Html = field(default=Html.source, metadata={"decides": "if given"})
    """Of html files and of pages in WARC: their source, for cleaning=[html], or the main text (needs prospero[web])."""
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
        if self.path and self.paths:
            raise ConfigError(f"path={self.path} and paths={self.paths} are two choices; give one of them")
        if not all(path.strip() for path in self.paths):
            raise ConfigError(f"paths={self.paths} holds an empty path; give its name, or leave it out")
        if self.json_path is not None:
            JsonPath(self.json_path)
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
        paths = self.paths or ([self.path] if self.path else [])
        if not paths:
            raise ConfigError("data=files needs the text: give data.path=<file, folder or glob>.")
        check_html(self.html)
        return FilesSource(self, paths)


class FilesSource:
    """The documents of a list of files, in the order of their names; each file is a source."""

    def __init__(self, config: FilesConfig, paths: Sequence[str]) -> None:
        self.config = config
        self.path = ", ".join(paths)
        self.found_notes: Counter[str] = Counter()
        self.files = find_all(paths, self.found_notes)
        self.notes = Counter(self.found_notes)
        if not any(archive_kind(file.path.name) for file in self.files):  # of what is in one, reading tells
            self._refuse_useless({file.ending for file in self.files})

    def _refuse_useless(self, endings: Collection[str]) -> None:
        """Raise ConfigError for a setting of forms that no file is of, going by the endings."""
        config = self.config
        json_, pages = {".json", ".jsonl", ".ndjson"}, HTML_ENDINGS | WARC_ENDINGS
        if config.json_path is not None and json_.isdisjoint(endings):
            raise ConfigError(f"data.json_path={config.json_path}: no file of {self.path} is JSON by its ending")
        if config.html is not Html.source and pages.isdisjoint(endings):
            raise ConfigError(f"data.html={config.html.name}: no file of {self.path} is HTML or WARC by its ending")

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
            json_path=config.json_path,
        )
        formats = Formats(
            reading=reading,
            tsv_quotes=config.tsv_quotes,
            max_unpacking_ratio=config.max_unpacking_ratio,
            html=config.html,
            skip_bad=config.bad_files is BadFiles.skip,
        )
        any_text = False
        for file in self.files:
            if not file.size:
                self.notes["empty files"] += 1
                continue
            try:
                for document in formats.documents(file):
                    any_text = True
                    document.source = file.name
                    yield document
            except DataError as error:
                if config.bad_files is BadFiles.error:
                    raise
                self.notes[f"{BAD_FILES}: {error}"] += 1
        if not any_text:
            counted = "; ".join(f"{count} {reason}" for reason, count in self.notes.items())
            raise DataError(f"{self.path} gave no text ({counted or 'nothing but empty texts'}).")
        self._refuse_useless(formats.met)

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
            **({} if config.json_path is None else {"json_path": config.json_path}),
            **html_identity(config.html),
            **self._warc(),
            **listing_hash(self.files),
        }

    def _warc(self) -> dict[str, Any]:
        """Return a mark where a WARC is among the files: it was read as plain text once."""
        return {"records": "warc"} if any(file.ending in WARC_ENDINGS for file in self.files) else {}

    def describe(self) -> str:
        """Return for example "12 files of texts/, 3.4 MB"."""
        megabytes = sum(file.size for file in self.files) / 1e6
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files of"
        return f"{files} {self.path}, {megabytes:.1f} MB"

    def size_bytes(self) -> int | None:
        """Return the size of the files, packed ones taken three times."""
        return sum(file.size * (_PACKING_RATIO if _is_packed(file) else 1) for file in self.files)


def _is_packed(file: FoundFile) -> bool:
    name = file.path.name
    is_packed = file.path.suffix.lower() in COMPRESSIONS or file.ending in (".parquet", ".pq")
    return is_packed or archive_kind(name) not in (None, ("tar", None))
