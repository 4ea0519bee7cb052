"""What the groups between raw text and batches ask of their parts: the settings, and what `.build` returns.

Nothing is imported at run time. Which part it is, the choice of a preset says; composing takes any.
"""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prospero.data.augmentation.augmentation import Augmentation
    from prospero.data.canaries import CanariesConfig
    from prospero.data.cleaning.step import CleaningStep
    from prospero.data.dedup.dedup import Dedup
    from prospero.data.packing.packing import Packing
    from prospero.data.rendering.rendering import Rendering
    from prospero.data.shards import TokenShards
    from prospero.data.sources.source import Source
    from prospero.data.split import Split
    from prospero.data.tokenizer.tokenizer import Tokenizer

MISSING: Any = "???"
"""The default of a setting that has none: a preset or the user gives it. Hydra's word."""


class SourceSettings(Protocol):
    """Where text comes from: a subclass of `prospero.data.sources.source.SourceConfig`."""

    num_workers: int
    """Processes beside the training process that read batches ahead of it."""
    canaries: "CanariesConfig"
    """Secrets that are planted into the training text."""

    def build(self) -> "Source":
        """Return the source, without reading it."""
        ...


class RenderingSettings(Protocol):
    """What a document is: a text, or a record of which a text is made."""

    def build(self) -> "Rendering | None":
        """Return the rendering; None where documents are texts already."""
        ...


class CleaningSettings(Protocol):
    """A step of cleaning."""

    def build(self) -> "CleaningStep":
        """Return the step, made anew for each preparation."""
        ...


@runtime_checkable
class IdentifiedSettings(Protocol):
    """Settings of a step that reads something beside the text: a model, an evaluation set."""

    def identity(self) -> "dict[str, Any]":
        """Return plain values that decide what the step does, the content of what it reads among them.

        They stand for the settings in the name and the fingerprint of prepared data. Raises DataError where what it
        reads is not there.
        """
        ...


class DedupSettings(Protocol):
    """Removal of repeated documents."""

    @property
    def changes_text(self) -> bool:
        """Whether a document may come out shorter; texts that are made of records cannot."""
        ...

    def build(self, folder: "Path") -> "Dedup":
        """Return what remembers the texts of one preparation; `folder` is for what it keeps on disk meanwhile."""
        ...


class SplitSettings(Protocol):
    """How documents are shared out to training, validation and test."""

    def build(self) -> "Split":
        """Return the split."""
        ...


class TokenizerSettings(Protocol):
    """How text becomes tokens."""

    def build(self, texts: "Callable[[], Iterator[str]]") -> "Tokenizer":
        """Return the tokenizer, trained on what `texts()` yields where it is trained at all."""
        ...

    def needs_texts(self) -> bool:
        """Return whether `build` reads the training text."""
        ...


class PackingSettings(Protocol):
    """How documents fill sequences."""

    def build(self, shards: "TokenShards", seq_len: int) -> "Packing":
        """Return the packing of the documents in `shards` into sequences of `seq_len` tokens."""
        ...


class AugmentationSettings(Protocol):
    """Noise on the inputs of training."""

    def build(self, shards: "TokenShards", seed: int) -> "Augmentation":
        """Return the function (input_ids [B, T], epochs [B], sequences [B]) -> input_ids [B, T]."""
        ...
