"""One piece of text, with a name that stays the same from run to run, and where it comes from."""

from dataclasses import dataclass


@dataclass(slots=True)
class Document:
    """A text, its id and its source.

    The id does not depend on where the machine keeps its files: `relative/path.txt`, `relative/path.jsonl#12` for row
    12 (counted from 1), with `#part2` at the end when a text was too long and was cut.
    The source is what losses are told apart by: a file of many documents, a package, a data set.
    """

    text: str
    id: str
    source: str = "text"
