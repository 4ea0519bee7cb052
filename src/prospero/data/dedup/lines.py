"""De-duplication of lines: of those that are equal only the first of the corpus is kept."""

from dataclasses import dataclass
from pathlib import Path

from prospero.data.dedup.parts import PartsDedup, PartsSketch, check_min_characters


@dataclass(kw_only=True, slots=True)
class LinesDedupConfig:
    """Keep the first of lines that are equal up to case and white space: menus, footers and licences of web pages.

    It breaks code, in which lines repeat by right; for code choose minhash.
    """

    min_characters: int = 80
    """Lines of fewer characters always stay."""

    def __post_init__(self) -> None:
        check_min_characters(self.min_characters)

    @property
    def changes_text(self) -> bool:
        """Yes: a document may come out shorter."""
        return True

    def build(self, folder: Path) -> PartsDedup:
        """Return the part, which has seen nothing yet and keeps a file in `folder`."""
        return PartsDedup("lines", PartsSketch(paragraphs=False, min_characters=self.min_characters), folder)
