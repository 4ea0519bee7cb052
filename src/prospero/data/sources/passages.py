"""Prose of Python's documentation: {beginning, continuation, file}."""

from dataclasses import dataclass

from prospero.data.embedded.prose import beginnings
from prospero.data.sources.embedded_records import EmbeddedRecords, EmbeddedRecordsConfig


@dataclass(kw_only=True, slots=True)
class PassagesConfig(EmbeddedRecordsConfig):
    """Beginnings of prose and how they go on; of a long beginning the end stays."""

    def build(self) -> EmbeddedRecords:
        """Return the source; `DataError` when this Python came without its sources."""
        return EmbeddedRecords("passages", beginnings, "beginning", slice(-self.max_characters, None))
