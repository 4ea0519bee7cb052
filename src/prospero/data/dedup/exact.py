"""Exact de-duplication: of documents with the same text only the first is kept."""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(kw_only=True, slots=True)
class ExactDedupConfig:
    """Keep the first of documents whose text is equal; at most 170 bytes of memory for each different document."""

    ignore_case: bool = False
    """Texts that differ only in upper and lower case count as equal."""
    ignore_white_space: bool = True
    """Texts that differ only in spaces, tabs and line ends count as equal."""

    def build(self) -> "ExactDedup":
        """Return the part, which has seen nothing yet."""
        return ExactDedup(ignore_case=self.ignore_case, ignore_white_space=self.ignore_white_space)


class ExactDedup:
    """A set of 128-bit BLAKE2b digests: two different texts are taken for one with probability n^2 / 2^129."""

    def __init__(self, *, ignore_case: bool, ignore_white_space: bool) -> None:
        self.ignore_case = ignore_case
        self.ignore_white_space = ignore_white_space
        self.seen: set[bytes] = set()

    def is_duplicate(self, text: str) -> bool:
        """Return whether an equal text was given before, and remember this one."""
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_white_space:
            text = " ".join(text.split())
        digest = blake2b(text.encode(), digest_size=16).digest()
        if digest in self.seen:
            return True
        self.seen.add(digest)
        return False
