"""One piece of text, or one record, with a name that stays the same from run to run, and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(slots=True)
class Document:
    """A text, its id and its source; from a source of examples a record instead of the text.

    The id does not depend on where the machine keeps its files: `relative/path.txt`, `relative/path.jsonl#12` for row
    12 (counted from 1), with `#part2` at the end when a text was too long and was cut.
    The source is what losses are told apart by: a file of many documents, a package, a data set.
    """

    text: str
    id: str
    source: str = "text"
    record: Mapping[str, Any] | None = None
    """The named fields of an example, as they were read; a rendering makes text of them."""
    picture: "np.ndarray | None" = None
    """A picture that belongs to the record, uint8 [H, W, C], of the same shape throughout a source."""
    key: str | None = None
    """What decides the split in place of the text, for examples that must stay together: those cut from one file."""
