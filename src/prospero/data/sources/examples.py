"""Examples with named fields: records of files or of the hub, of which a rendering makes what a model learns."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prospero.data.document import Document
from prospero.data.records import RecordsConfig
from prospero.data.sources.find_files import find_files, listing_hash
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError, DataError


@dataclass(kw_only=True, slots=True)
class ExamplesConfig(SourceConfig):
    """Examples of your own: rows of jsonl, json, csv, tsv or parquet files, or of a data set of the hub."""

    path: str | None = None
    """A file (jsonl, json, csv, tsv or parquet), a folder of such, or a glob."""
    dataset: str | None = None
    """Name on the hub such as HuggingFaceH4/no_robots, or a local folder that `datasets` opens; in place of `path`."""
    subset: str | None = None
    """Configuration of the data set; * for all of them, one after another."""
    revision: str | None = None
    """Branch, tag or commit of the data set; only a commit makes sure that the records are the same tomorrow."""
    split: str = "train"
    """Split of the data set; the program makes its own train, val and test from it."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        self.records()

    def records(self) -> RecordsConfig:
        """Return where the rows are; ConfigError for settings that contradict each other."""
        return RecordsConfig(
            path=self.path, dataset=self.dataset, subset=self.subset, revision=self.revision, split=self.split
        )

    def build(self) -> "ExamplesSource":
        """Return the source; ConfigError without a path or a data set."""
        records = self.records()
        if not records.given:
            raise ConfigError(
                "data=examples needs records: give data.path=<jsonl, csv or parquet> or data.dataset=<name>"
            )
        return ExamplesSource(records)


class ExamplesSource:
    """The rows in their order, each a document with a record and no text."""

    def __init__(self, records: RecordsConfig) -> None:
        self.records = records
        self.notes: Counter[str] = Counter()
        self.files = [] if records.path is None else find_files(records.path, self.notes)

    def documents(self) -> Iterator[Document]:
        """Read all rows; raises `DataError` in one line for what cannot be read, or when there is none."""
        source, any_record = self.records.describe(), False
        for record in self.records.stream():
            any_record = True
            yield Document(text="", id=record.place, source=source, record=record.row)
        if not any_record:
            raise DataError(f"{source} holds no record")

    def identity(self) -> dict[str, Any]:
        """Return the settings; of files a hash over names, sizes and times of change too."""
        records = self.records
        values: dict[str, Any] = {"source": "examples", "dataset": records.dataset, "subset": records.subset}
        values |= {"revision": records.revision, "split": records.split}
        if self.files:
            return values | listing_hash(self.files)
        if records.dataset is not None and os.path.exists(records.dataset):
            return values | listing_hash(find_files(records.dataset, Counter()))
        return values

    def describe(self) -> str:
        """Return where the records are from."""
        return f"records of {self.records.describe()}"

    def size_bytes(self) -> int | None:
        """Return the size of the files; None for a data set."""
        return sum(file.size for file in self.files) or None
