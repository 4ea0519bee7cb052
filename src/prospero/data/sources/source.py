"""What every source of text offers to the rest of the program."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

from prospero.data.document import Document


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
