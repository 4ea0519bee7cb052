"""All settings between raw text and token shards. Nothing heavy is imported here."""

from dataclasses import dataclass, field
from pathlib import Path

from prospero.data.parts import (
    MISSING,
    CleaningSettings,
    DedupSettings,
    RenderingSettings,
    SourceSettings,
    SplitSettings,
    TokenizerSettings,
)
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class PrepareConfig:
    """All settings between raw text and token shards; `train` shares them."""

    data: SourceSettings = MISSING
    """Where the text comes from."""
    rendering: RenderingSettings | None = None
    """What a document is, a text or a record of an example; null (a config.yaml of before this setting): a text."""
    cleaning: dict[str, CleaningSettings] = field(default_factory=dict)
    """The cleaning steps, in their order."""
    dedup: DedupSettings = MISSING
    """Removal of repeated documents."""
    split: SplitSettings = MISSING
    """How documents are shared out to train, validation and test."""
    tokenizer: TokenizerSettings = MISSING
    """How text becomes tokens."""
    outputs_dir: str = "outputs"
    """Folder under which everything is written; prepared data lie in <outputs_dir>/data."""
    buffer_mb: int = 64
    """Megabytes of memory for text on its way through the preparation, whatever the size of the corpus."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts; imported before anything is composed."""
    traceback: bool = False
    """Show the full traceback of an error (`debug=traceback` sets it)."""

    def __post_init__(self) -> None:
        if not self.outputs_dir.strip():
            raise ConfigError("outputs_dir= is empty; give a folder, or leave it out")
        if self.buffer_mb < 1:
            raise ConfigError(f"buffer_mb={self.buffer_mb} must be 1 or more")

    @property
    def data_dir(self) -> Path:
        """Folder in which prepared corpora lie, one folder each."""
        return Path(self.outputs_dir, "data")
