"""Examples made of what every Python brings: the files of its standard library and the topics of its reference.

Each example goes where its file goes when a model is trained on `data=stdlib` with the default cleaning and split, so
that what that model held out stays held out when it is trained on.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.data.document import Document
from prospero.data.embedded.holding_out import FileKeys
from prospero.data.sources.source import SourceConfig
from prospero.data.sources.stdlib import StdlibConfig
from prospero.errors import ConfigError

FILE = "file"
"""The field of each record that names the document it was cut from."""
FORMAT = 1
"""Changes when the same files give other records."""


@dataclass(kw_only=True, slots=True)
class EmbeddedRecordsConfig(SourceConfig):
    """What the settings of all such sources begin with."""

    max_characters: int = 600
    """Characters of the field that a model reads; of a longer one as many stay as the task of these records keeps."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if self.max_characters < 1:
            raise ConfigError(f"max_characters={self.max_characters} leaves nothing to read; choose 1 or more")


class EmbeddedRecords:
    """The records of each document of the standard library, in its order."""

    def __init__(
        self, name: str, make: Callable[[Sequence[Document]], list[Mapping[str, Any]]], read: str, keep: slice
    ) -> None:
        """Take the maker, the name of the field that is read, and what of it stays."""
        self.name, self.make, self.read, self.keep = name, make, read, keep
        self.library = StdlibConfig().build()
        self.notes: Counter[str] = self.library.notes

    def documents(self) -> Iterator[Document]:
        """Give each record as `name.py, record 3`, with the key of its file."""
        keys = FileKeys()
        for document in self.library.documents():
            rows = self.make([document])
            key = keys(document) if rows else None
            for number, row in enumerate(rows, 1):
                record = {**row, self.read: row[self.read][self.keep]}
                place = f"{document.id}, record {number}"
                yield Document(text="", id=place, source=document.source, record=record, key=key)

    def identity(self) -> dict[str, Any]:
        """Return what they are, and the identity of the library."""
        return {**self.library.identity(), "source": self.name, "records": FORMAT, "keep": str(self.keep)}

    def describe(self) -> str:
        """Return what they are made of."""
        return f"{self.name.replace('_', ' ')} of {self.library.describe()}"

    def size_bytes(self) -> int | None:
        """Nobody knows before the files are read."""
        return None
