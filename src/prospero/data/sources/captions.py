"""Pictures and what they show: a folder of pictures, and records that name each and hold its caption."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.document import Document
from prospero.data.pictures import read_picture
from prospero.data.records import Record, RecordsConfig
from prospero.data.sources.find_files import FoundFile, find_files, listing_hash
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError, DataError


class Broken(Enum):
    """What becomes of a record whose picture does not open."""

    refuse = "refuse"
    drop = "drop"


@dataclass(kw_only=True, slots=True)
class CaptionsConfig(SourceConfig):
    """Pictures of your own and their captions (needs pillow)."""

    path: str | None = None
    """The records: a jsonl, json, csv, tsv or parquet file, or a folder of such."""
    folder: str | None = None
    """The folder of the pictures, in which the records name them; null: the one that holds the records."""
    image: str = "image"
    """The field with the name of the picture, below the folder."""
    image_size: int = 32
    """Height and width that pictures are stretched to, in pixels."""
    channels: int = 3
    """3: red, green and blue; 1: grey."""
    broken: Broken = Broken.refuse
    """A picture that does not open: refuse all data (one line says which record), or drop the record and count it."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        check_picture_size(self.image_size, self.channels)
        for name in ("path", "folder"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"data.{name}= is empty; give its name, or leave it out")

    def build(self) -> "CaptionsSource":
        """Return the source; ConfigError without records, DataError without their folder."""
        if self.path is None:
            raise ConfigError(
                "data=captions needs records: give data.path=<jsonl, csv or parquet>, each with a picture's name and "
                "its caption"
            )
        return CaptionsSource(self, self.path)


def check_picture_size(image_size: int, channels: int) -> None:
    """Raise ConfigError for sizes that no picture has."""
    if not 1 <= image_size <= 4096:
        raise ConfigError(f"data.image_size={image_size} is impossible; choose 1 to 4096 pixels")
    if channels not in (1, 3):
        raise ConfigError(f"data.channels={channels} is impossible; choose 3 (colour) or 1 (grey)")


class CaptionsSource:
    """The records in their order, each a document with a picture and no text."""

    def __init__(self, config: CaptionsConfig, path: str) -> None:
        self.config, self.records = config, RecordsConfig(path=path)
        self.notes: Counter[str] = Counter()
        place = Path(path).expanduser()
        self.folder = Path(config.folder).expanduser() if config.folder else place if place.is_dir() else place.parent
        if not self.folder.is_dir():
            raise DataError(f"data.folder={self.folder}: there is no such folder of pictures")

    def documents(self) -> Iterator[Document]:
        """Read all records; `DataError` in one line for what cannot be read, or when nothing is left."""
        self.notes.clear()
        any_record, source = False, self.records.describe()
        for record in self.records.stream():
            try:
                picture = self._picture(record)
            except DataError as error:
                if self.config.broken is Broken.refuse:
                    raise DataError(f"{error}; data.broken=drop leaves such records out") from error
                self.notes["records left out, for their picture does not open"] += 1
                continue
            any_record = True
            yield Document(text="", id=record.place, source=source, record=record.row, picture=picture)
        if not any_record:
            left = self.notes["records left out, for their picture does not open"]
            raise DataError(f"{source} holds no record" + (f" whose picture opens ({left} do not)" if left else ""))

    def _picture(self, record: Record) -> np.ndarray:
        name = record.text(self.config.image)
        try:
            path = inside(self.folder, name)
            return read_picture(path, self.config.image_size, self.config.channels, self.notes)
        except DataError as error:
            raise DataError(f"{record.place}: {error}") from error

    def identity(self) -> dict[str, Any]:
        """Return the settings, and a hash over names, sizes and times of change of records and pictures."""
        records = listing_hash(find_files(self.config.path or "", Counter()))
        return {"source": "captions", "records": records, "pictures": listing_hash(_below(self.folder))}

    def describe(self) -> str:
        """Return where records and pictures are from."""
        return f"pictures of {self.folder} with captions of {self.records.describe()}"

    def size_bytes(self) -> int | None:
        """Return the size of the records."""
        return sum(file.size for file in find_files(self.config.path or "", Counter())) or None


def inside(folder: Path, name: str) -> Path:
    """Return the file `name` below `folder`; DataError for one that lies outside, by its name or through a link."""
    path = folder / name
    try:
        real = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a circle of links
        raise DataError(f"{name[:80]!r} is no name of a file ({error})") from error
    if not real.is_relative_to(folder.resolve()):
        raise DataError(f"{name[:80]!r} lies outside of {folder}; a record names pictures of its folder alone")
    return real


def _below(folder: Path) -> Iterator[FoundFile]:
    """Yield all files below a folder, sorted; what is no file is met when a record names it."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            try:
                status = path.stat()
            except OSError:
                continue  # a link to nothing: the record that names it will say so
            relative = os.fsencode(path.relative_to(folder)).decode("utf-8", "replace")
            yield FoundFile(path=path, name=relative, size=status.st_size, mtime_ns=status.st_mtime_ns)
