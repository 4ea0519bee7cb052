"""Functions of Python's standard library and the line that says what each does: {source, name, summary, file}."""

from dataclasses import dataclass

from prospero.data.embedded.functions import summaries
from prospero.data.sources.embedded_records import EmbeddedRecords, EmbeddedRecordsConfig


@dataclass(kw_only=True, slots=True)
class FunctionSummariesConfig(EmbeddedRecordsConfig):
    """Functions and their summaries; of a long function the beginning stays."""

    def build(self) -> EmbeddedRecords:
        """Return the source; `DataError` when this Python came without its sources."""
        return EmbeddedRecords("function_summaries", summaries, "source", slice(None, self.max_characters))
