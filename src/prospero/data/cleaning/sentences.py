"""Where sentences end, in scripts that mark it: the signs, and a count of sentences by them."""

import re

TERMINAL_MARKS = tuple('.!?"”’»。！？．｡」』।॥؟۔።။។')
"""What ends a line of prose: the four of C4, and their like of other scripts (Thai and Lao have none)."""
_ENDS = re.compile(r"[.!?](?<![.!?].)[.!?]*+[\"'”’»)\]]*+(?=\s|\Z)|[。！？．｡।॥؟۔።။។]+")


def count_sentences(line: str) -> int:
    """Return the number of sentences by their marks, an unfinished one too; an abbreviation's full stop counts.

    A full stop within a number or a name (3.14, b.org) ends nothing.
    """
    ends = [match.end() for match in _ENDS.finditer(line)]
    rest = line[ends[-1] :] if ends else line
    return len(ends) + any(map(str.isalnum, rest))


def ends_sentence(line: str) -> bool:
    """Whether a line ends with a terminal mark; an ellipsis is none."""
    return line.endswith(TERMINAL_MARKS) and not line.endswith(("...", "…"))
