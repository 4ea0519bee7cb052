"""What a preparation is made of, texts or examples: how a document is read, kept between passes, split and encoded.

Between the passes a document is one line of text, its content: the cleaned text itself, or a rendered example as JSON.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedRandom
from pathlib import Path

import numpy as np

from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.encoding import SplitEncoder
from prospero.data.rendering.rendering import Rendered, Rendering
from prospero.data.split import CorpusSize, Piece, Split
from prospero.errors import DataError

PICTURES = "images"
"""The file beside the tokens that holds a picture for each document, and the model's argument that takes them."""


@dataclass(slots=True)
class Entry:
    """A document that is kept."""

    content: str
    compared: str
    """What copies are told by."""
    n_bytes: int
    n_characters: int


class Material(ABC):
    """The kind of what is prepared."""

    def __init__(self, pipeline: CleaningPipeline) -> None:
        self.pipeline = pipeline

    @abstractmethod
    def size(self, document: Document) -> int:
        """Return the UTF-8 bytes of a document as it was read."""

    @abstractmethod
    def read(self, document: Document) -> Entry | Drop:
        """Return what is kept of a document."""

    @abstractmethod
    def shortened(self, entry: Entry, text: str) -> Entry:
        """Return an entry of which a de-duplication keeps a part."""

    @abstractmethod
    def pieces(self, split: Split, content: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """Yield where the content goes that begins at character `start` of all."""

    @abstractmethod
    def texts(self, piece: Piece) -> Iterator[str]:
        """Yield the texts in a piece, for a tokenizer that learns from them."""

    def close(self) -> None:
        """Remove what was kept between passes, once all is encoded."""
        return

    @abstractmethod
    def encode(self, encoder: SplitEncoder, piece: Piece, source: str) -> int:
        """Hand a piece to the encoder and return its UTF-8 bytes."""


class Texts(Material):
    """Documents of text, all of it to be predicted."""

    def size(self, document: Document) -> int:
        """The text's."""
        return utf8_length(document.text)

    def read(self, document: Document) -> Entry | Drop:
        """Clean the text; DataError for a record, of which somebody has to make text first."""
        if document.record is not None:
            raise DataError(
                f"{document.id} is a record with the fields {', '.join(document.record)}; choose what is made of it: "
                "rendering=prompt_response, or another of `ls conf/rendering`"
            )
        cleaned = self.pipeline(document)
        if isinstance(cleaned, Drop):
            return cleaned
        return _entry(cleaned.text)

    def shortened(self, entry: Entry, text: str) -> Entry:
        """As a text of its own."""
        return _entry(text)

    def pieces(self, split: Split, content: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """As the split cuts it."""
        return split.pieces(content, start, corpus)

    def texts(self, piece: Piece) -> Iterator[str]:
        """The piece."""
        yield piece.text

    def encode(self, encoder: SplitEncoder, piece: Piece, source: str) -> int:
        """As ordinary text."""
        return encoder.add(piece, source)


def _entry(text: str) -> Entry:
    return Entry(text, text, utf8_length(text), len(text))


class Examples(Material):
    """Records, rendered to spans; an example goes into one split whole."""

    def __init__(self, pipeline: CleaningPipeline, rendering: Rendering) -> None:
        super().__init__(pipeline)
        self.rendering = rendering

    def size(self, document: Document) -> int:
        """That of its texts."""
        return sum(utf8_length(str(value)) for value in (document.record or {}).values())

    def read(self, document: Document) -> Entry | Drop:
        """Render the record; DataError, with its place, when it is none that the rendering knows."""
        if document.picture is not None and not self.rendering.reads_picture:
            raise DataError(f"{document.id} comes with a picture, which this rendering= would lose; rendering=caption")
        counted: list[Drop] = []  # by the cleaning step that refused a text of it

        def clean(text: str) -> str | Drop:
            cleaned = self.pipeline.clean(text, document.id)
            if isinstance(cleaned, Drop):
                counted.append(cleaned)
            return cleaned

        self.pipeline.seen += 1
        rendered = self.rendering(document, clean)
        if isinstance(rendered, Drop):
            if rendered not in counted:
                self.pipeline.drop("rendering", rendered, document.id, str(document.record))
            return rendered
        self.pipeline.kept += 1
        if document.key is not None:
            rendered = replace(rendered, key=document.key)
        compared = rendered.text
        return Entry(rendered.packed(), compared, utf8_length(compared), len(compared))

    def shortened(self, entry: Entry, text: str) -> Entry:
        """Never: `prepare` refuses a de-duplication that shortens examples."""
        raise TypeError("an example is kept or dropped, never shortened")

    def pieces(self, split: Split, content: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """Send the whole example where its key goes, or where it begins."""
        key = Rendered.unpacked(content).key or content
        for piece in split.pieces(key, start, corpus):
            yield Piece(piece.split, content)
            return

    def texts(self, piece: Piece) -> Iterator[str]:
        """The spans that are text."""
        for spans in Rendered.unpacked(piece.text).documents:
            yield from (span.text for span in spans if not span.control)

    def encode(self, encoder: SplitEncoder, piece: Piece, source: str) -> int:
        """Span by span."""
        return encoder.add_example(piece.split, Rendered.unpacked(piece.text), source)


class PicturedExamples(Examples):
    """Records with a picture each, kept in a file until they are encoded; the content begins with its number there."""

    def __init__(self, pipeline: CleaningPipeline, rendering: Rendering, folder: Path) -> None:
        super().__init__(pipeline, rendering)
        self.path, self.shape, self.rows = folder / "pictures.spool", (0, 0, 0), 0
        self._file: BufferedRandom | None = None

    def read(self, document: Document) -> Entry | Drop:
        """Render the record and keep its picture; DataError when it has none."""
        if document.picture is None:
            raise DataError(f"{document.id} has no picture for rendering=caption; choose data=captions or data=shapes")
        content = np.ascontiguousarray(document.picture).tobytes()
        mark = hashlib.blake2b(content, digest_size=16).hexdigest()
        entry = super().read(replace(document, key=document.key or mark))  # all captions of a picture in one split
        if isinstance(entry, Drop):
            return entry
        if self._file is None:
            self._file, self.shape = open(self.path, "w+b"), document.picture.shape  # noqa: SIM115 - see close()
        self._file.seek(self.rows * len(content))
        self._file.write(content)
        self.rows += 1
        return replace(entry, content=f"{self.rows - 1} {entry.content}", compared=f"{mark} {entry.compared}")

    def pieces(self, split: Split, content: str, start: int, corpus: CorpusSize) -> Iterator[Piece]:
        """As any example, its picture with it."""
        number, _, rendered = content.partition(" ")
        for piece in super().pieces(split, rendered, start, corpus):
            yield Piece(piece.split, f"{number} {piece.text}")

    def texts(self, piece: Piece) -> Iterator[str]:
        """The spans that are text."""
        yield from super().texts(Piece(piece.split, piece.text.partition(" ")[2]))

    def encode(self, encoder: SplitEncoder, piece: Piece, source: str) -> int:
        """Span by span, and the picture beside them."""
        assert self._file is not None, "a picture was kept for each piece"
        number, _, rendered = piece.text.partition(" ")
        size = int(np.prod(self.shape))
        self._file.seek(int(number) * size)
        picture = np.frombuffer(self._file.read(size), np.uint8).reshape(self.shape)
        return encoder.add_example(piece.split, Rendered.unpacked(rendered), source, {PICTURES: picture})

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)


def utf8_length(text: str) -> int:
    """Return the UTF-8 bytes of `text`."""
    return len(text) if text.isascii() else len(text.encode())
