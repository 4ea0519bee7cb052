"""What cleaning does to a corpus: for each step some documents that it changed, and all that was dropped by reason.

The documents are those of a preparation, read and cleaned by the same code; nothing is written. Memory is bounded: of
the texts that a step changed only the shown lines of a random sample are held.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Changed, CleaningStep, Drop
from prospero.data.material import Examples, Texts
from prospero.data.parts import CleaningSettings
from prospero.data.rendering.rendering import Rendering
from prospero.data.sources.source import Source
from prospero.data.text_change import TextChange, text_change
from prospero.errors import DataError

T = TypeVar("T")


class Sample(Generic[T]):
    """`size` of the items that are offered, each with the same chance (reservoir sampling, Vitter's algorithm R).

    An item is made only when it is taken.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.offered = size, 0
        self._items: list[tuple[int, T]] = []
        self._random = random.Random(seed)

    def offer(self, make: Callable[[], T]) -> None:
        """Take the item, in the place of another where there are `size`, or let it go."""
        place = self.offered if self.offered < self.size else self._random.randrange(self.offered + 1)
        if place < self.size:
            self._items[place : place + 1] = [(self.offered, make())]
        self.offered += 1

    @property
    def items(self) -> list[T]:
        """Those that were taken, in the order in which they were offered."""
        return [item for _, item in sorted(self._items, key=lambda entry: entry[0])]


class _Watched:
    """A step that hands on what it does to a text."""

    def __init__(self, step: CleaningStep, saw: Callable[[str, str], None]) -> None:
        self.step, self.saw = step, saw

    def __call__(self, text: str) -> str | Changed | Drop:
        result = self.step(text)
        after = result.text if isinstance(result, Changed) else result
        if isinstance(after, str) and after is not text and after != text:
            self.saw(text, after)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What became of the documents that were read."""

    read: int
    """Documents."""
    all_read: bool
    """Whether these are all of the corpus."""
    report: dict[str, Any]
    """As a receipt has it: see `CleaningPipeline.report`; with `examples` examples of each reason."""
    changes: dict[str, list[TextChange]]
    """Step -> a sample of the texts that it changed, in their order."""


def inspect_cleaning(
    source: Source,
    cleaning: dict[str, CleaningSettings],
    rendering: Rendering | None,
    *,
    n: int,
    examples: int,
    seed: int,
    limit: int | None,
) -> Inspection:
    """Read and clean up to `limit` documents (None: all), and keep `n` changes of each step.

    The sample of a step depends on `seed`, its name and the texts that it changes, not on other steps. Raises DataError
    where there is no text, or records without a rendering.
    """
    inspected = _Cleaning(cleaning, n=n, examples=examples, seed=seed)
    material = Texts(inspected.pipeline) if rendering is None else Examples(inspected.pipeline, rendering)
    if rendering is not None:
        rendering.begin(None)
    read, documents = 0, source.documents()
    for document in documents if limit is None else islice(documents, limit):
        inspected.document_id = document.id
        material.read(document)
        read += 1
    if not read:
        raise DataError(f"there is no text in {source.describe()}")
    all_read = limit is None or read < limit or _is_at_end(documents)
    samples = {name: sample.items for name, sample in inspected.samples.items()}
    return Inspection(read=read, all_read=all_read, report=inspected.pipeline.report(), changes=samples)


def _is_at_end(documents: Iterator[object]) -> bool:
    return next(documents, None) is None


class _Cleaning:
    """The pipeline of a preparation with every step watched."""

    def __init__(self, cleaning: dict[str, CleaningSettings], *, n: int, examples: int, seed: int) -> None:
        self.document_id = ""
        # The name by its CRC: hash() of text differs from one Python process to the next.
        self.samples = {name: Sample[TextChange](n, seed + zlib.crc32(name.encode())) for name in cleaning}
        steps = {name: _Watched(settings.build(), self._watcher(name)) for name, settings in cleaning.items()}
        self.pipeline = CleaningPipeline(steps, examples_per_reason=examples)

    def _watcher(self, name: str) -> Callable[[str, str], None]:
        def saw(before: str, after: str) -> None:
            self.samples[name].offer(lambda: text_change(self.document_id, before, after))

        return saw
