"""De-duplication of paragraphs: of those that are equal only the first of the corpus is kept."""

from dataclasses import dataclass
from pathlib import Path

from prospero.data.dedup.parts import PartsDedup, PartsSketch, check_min_characters


@dataclass(kw_only=True, slots=True)
class ParagraphsDedupConfig:
    """Keep the first of paragraphs that are equal up to case and white space, as CCNet does (Wenzek et al. 2020)."""

    min_characters: int = 40
    """Paragraphs of fewer characters always stay: headings and short sentences repeat by right."""

    def __post_init__(self) -> None:
        check_min_characters(self.min_characters)

    @property
    def changes_text(self) -> bool:
        """Yes: a document may come out shorter."""
        return True

    def build(self, folder: Path) -> PartsDedup:
        """Return the part, which has seen nothing yet and keeps a file in `folder`."""
        return PartsDedup("paragraphs", PartsSketch(paragraphs=True, min_characters=self.min_characters), folder)
