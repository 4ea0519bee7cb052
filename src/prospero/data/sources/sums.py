"""Sums of two numbers, each once: an embedded set of prompts with one right answer, for rewards that check it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError

MOST_DIGITS = 3


@dataclass(kw_only=True, slots=True)
class SumsConfig(SourceConfig):
    """All sums of two numbers: records with the fields prompt (12+34=), response (46) and answer (46)."""

    digits: int = 2
    """Digits of the numbers, which have no leading zero: 2 gives the 8100 sums of 10 to 99."""
    reversed: bool = False
    """Write the response from its last digit on, in the order in which a sum is carried (Lee et al. 2023,
    arXiv:2307.03381): 64 for 46."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if not 1 <= self.digits <= MOST_DIGITS:
            raise ConfigError(f"digits={self.digits} is not possible; give 1 to {MOST_DIGITS}")

    def build(self) -> "SumsSource":
        """Return the source."""
        return SumsSource(self.digits, self.reversed)


class SumsSource:
    """The sums in their order; which train and which measure, a hash of the prompt decides."""

    def __init__(self, digits: int, reversed: bool = False) -> None:
        self.digits, self.reversed = digits, reversed
        self.notes: Counter[str] = Counter()
        self.numbers = range(10 ** (digits - 1) if digits > 1 else 0, 10**digits)

    def documents(self) -> Iterator[Document]:
        """Give each sum as a record."""
        for a in self.numbers:
            for b in self.numbers:
                answer = str(a + b)
                response = answer[::-1] if self.reversed else answer
                record = {"prompt": f"{a}+{b}=", "response": response, "answer": answer}
                yield Document(text="", id=f"{a}+{b}", source="sums", record=record)

    def identity(self) -> dict[str, Any]:
        """Return the setting; nothing else decides them."""
        return {"source": "sums", "digits": self.digits, "reversed": self.reversed}

    def describe(self) -> str:
        """Return how many there are."""
        return f"the {len(self.numbers) ** 2:,} sums of two numbers of {self.digits} digits"

    def size_bytes(self) -> int | None:
        """Return the bytes of the texts, about."""
        return len(self.numbers) ** 2 * (4 * self.digits + 4)
