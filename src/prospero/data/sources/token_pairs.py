"""Lines of Python's standard library, as they stand and with one token changed: {prompt, chosen, rejected, kind}."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.data.document import Document
from prospero.data.embedded.pairs import preferences
from prospero.data.embedded.places import place_of
from prospero.data.sources.embedded_records import EmbeddedRecords, EmbeddedRecordsConfig
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class TokenPairsConfig(EmbeddedRecordsConfig):
    """The lines before as the prompt, of which the end stays; the line as it stands is the better answer."""

    share: float = 1.0
    """The share of the pairs that is taken, above 0 and at most 1: those whose hash is small."""

    def __post_init__(self) -> None:
        EmbeddedRecordsConfig.__post_init__(self)
        if not 0 < self.share <= 1:
            raise ConfigError(f"data.share={self.share} is no share; give a number above 0, at most 1")

    def build(self) -> EmbeddedRecords:
        """Return the source; `DataError` when this Python came without its sources."""
        return EmbeddedRecords("token_pairs", self.pairs, "prompt", slice(-self.max_characters, None))

    def pairs(self, documents: Sequence[Document]) -> list[Mapping[str, Any]]:
        """Return the pairs of some files that are taken."""
        return [row for row in preferences(documents) if place_of(row) < self.share * 2**64]
