"""Functions of Python's standard library, signature and docstring apart from the body: {head, body, name, file}."""

from dataclasses import dataclass

from prospero.data.embedded.functions import bodies
from prospero.data.sources.embedded_records import EmbeddedRecords, EmbeddedRecordsConfig


@dataclass(kw_only=True, slots=True)
class FunctionBodiesConfig(EmbeddedRecordsConfig):
    """Heads of functions and their bodies; of a long head the end stays."""

    def build(self) -> EmbeddedRecords:
        """Return the source; `DataError` when this Python came without its sources."""
        return EmbeddedRecords("function_bodies", bodies, "head", slice(-self.max_characters, None))
