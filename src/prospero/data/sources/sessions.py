"""Sessions at Python's prompt, from docstrings: {session, answer, file}."""

from dataclasses import dataclass

from prospero.data.embedded.sessions import sessions
from prospero.data.sources.embedded_records import EmbeddedRecords, EmbeddedRecordsConfig


@dataclass(kw_only=True, slots=True)
class SessionsConfig(EmbeddedRecordsConfig):
    """What was said so far and what the interpreter answers; of a long session the end stays."""

    def build(self) -> EmbeddedRecords:
        """Return the source; `DataError` when this Python came without its sources."""
        return EmbeddedRecords("sessions", sessions, "session", slice(-self.max_characters, None))
