"""What every source of text offers to the rest of the program, and the settings that all of them have."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Protocol

from prospero.data.canaries import CanariesConfig
from prospero.data.document import Document
from prospero.errors import ConfigError


class Source(Protocol):
    """A corpus that can be read any number of times, always in the same order.

    Texts are ordinary Unicode: no lone surrogates and no NUL characters, so `text.encode()` never fails.
    """

    notes: Counter[str]
    """Repairs and skips (what was done -> how often); cleared when `documents` starts again."""

    def documents(self) -> Iterator[Document]:
        """Read the corpus from its beginning; memory does not grow with its size. Raises `DataError`."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return plain values, cheap to get, that change whenever the text may have changed."""
        ...

    def describe(self) -> str:
        """Return one line for the log and the receipt."""
        ...

    def size_bytes(self) -> int | None:
        """Return the rough number of UTF-8 bytes that `documents` will give, or None when it is not known."""
        ...


@dataclass(kw_only=True, slots=True)
class SourceConfig:
    """What the settings of every source have: how its batches are read, and what is planted into its training text."""

    num_workers: int = 0
    """Processes beside the training process that read batches ahead of it; 0 reads them in the training process."""
    canaries: CanariesConfig = field(default_factory=CanariesConfig)
    """Secrets that are planted into the training text, to measure what the model memorises; none without a count."""

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise ConfigError(f"num_workers={self.num_workers} must be 0 (read in the training process) or more")


def not_deciding(config: Any) -> frozenset[str]:
    """Return the settings of a source that say nothing of its text, going by the metadata of their fields.

    `decides: never` is where and how something is kept; `decides: if given` a setting that came later, whose default
    leaves the text as it was before, so that what was prepared then is found again.
    """
    left = set()
    for item in fields(config):
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        decides = item.metadata.get("decides")
        if decides == "never" or (decides == "if given" and getattr(config, item.name) == default):
            left.add(item.name)
    return frozenset(left)
