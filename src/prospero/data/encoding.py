"""From pieces of text to token files: encoding runs outside the GIL while the next texts are read and cleaned."""

import hashlib
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.kept_records import RecordWriter
from prospero.data.rendering.rendering import Rendered
from prospero.data.shards import ShardWriter
from prospero.data.side_file import SideWriter
from prospero.data.split import SPLITS, Piece
from prospero.data.tokenizer.tokenizer import Tokenizer

BUFFER_PER_BATCH = 64
"""Memory that a batch takes while it is encoded and while it waits, in units of its text (measured, rounded up)."""
WAITING = 2
"""Batches that wait for the encoder or for the disk."""
SPANS_AT_ONCE = 2**16
"""Spans of examples in a batch, which may be many and short."""
MAX_NAMED_SOURCES = 64
OTHER = "other"
"""All sources together beyond the `MAX_NAMED_SOURCES` with the most text."""


@dataclass(slots=True)
class _Part:
    """What is encoded at a time: a document, or a part of a long one; `separator` follows unless a split cut it."""

    split: str
    source: int
    text: str
    n_bytes: int
    ends: bool
    separator: bool
    target: bool = True
    id: int | None = None
    """Of a control token, which `text` names."""


class SplitEncoder:
    """Collects pieces into batches, encodes them in one other thread, writes the ids in order; memory is bounded.

    `buffer_bytes` bounds what is held at once. After `close`, `splits` has the counts of each split that got text,
    `sources` the names of the sources that its documents have, and `text_digest` is a hash of all text with its split.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer, buffer_bytes: int, *, targets: bool = False) -> None:
        self.folder, self.tokenizer, self.targets = folder, tokenizer, targets
        self.batch_bytes = max(2**16, buffer_bytes // BUFFER_PER_BATCH)
        self.splits: dict[str, dict[str, Any]] = {}
        self.sources: list[str] = []
        self._unknown: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self._token_bytes = None if tokenizer.unknown_id is None else tokenizer.token_bytes()
        self._writers: dict[str, ShardWriter] = {}
        self._side: dict[tuple[str, str], SideWriter] = {}
        self._kept: dict[str, RecordWriter] = {}
        self._source_bytes: Counter[str] = Counter()
        self._source_numbers: dict[str, int] = {}
        self._text = hashlib.blake2b(digest_size=16)
        self._batch: list[_Part] = []
        self._size = 0
        self._waiting: deque[tuple[list[_Part], Future[list[np.ndarray]]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")

    def add(self, piece: Piece, source: str) -> int:
        """Take one piece of a document of `source` and return its UTF-8 bytes; blocks while too much is waiting."""
        content = piece.text.encode()
        self._source_bytes[source] += len(content)
        number = self._source_numbers.setdefault(source, len(self._source_numbers))
        self._text.update(f"{piece.split} {len(content)} {piece.ends}\n".encode())
        self._text.update(content)
        parts = list(self.tokenizer.pieces(piece.text))
        for place, text in enumerate(parts, start=1):
            n_bytes = len(content) if len(parts) == 1 else len(text.encode())
            last = place == len(parts)
            self._batch.append(_Part(piece.split, number, text, n_bytes, ends=last, separator=last and piece.ends))
            self._size += n_bytes
            if self._size >= self.batch_bytes:
                self._send()
        return len(content)

    def add_example(
        self, split: str, example: Rendered, source: str, side: Mapping[str, np.ndarray] | None = None
    ) -> int:
        """Take the documents of one example and return their UTF-8 bytes; needs `targets`.

        `side` holds what stands beside its one document, such as its picture: name -> uint8, always of the same shape.
        Spans are encoded each for itself, as a model reads a prompt whose response is not there yet. Raises DataError
        when the tokenizer lacks a control token.
        """
        n_bytes = 0
        number = self._source_numbers.setdefault(source, len(self._source_numbers))
        for name, row in (side or {}).items():
            self._side_writer(split, name, row.shape).add(row)
            self._text.update(f"{split} {name} {row.shape}\n".encode() + hashlib.blake2b(row.tobytes()).digest())
        for spans in example.documents:
            self._text.update(f"{split} {len(spans)} example\n".encode())
            for place, span in enumerate(spans, start=1):
                content = span.text.encode()
                self._text.update(f"{len(content)} {span.target} {span.control}\n".encode() + content)
                last, id_ = place == len(spans), self.tokenizer.control_id(span.text) if span.control else None
                size = 0 if span.control else len(content)
                self._batch.append(_Part(split, number, span.text, size, last, last, target=span.target, id=id_))
                n_bytes += size
        if example.kept is not None:
            if split not in self._kept:
                self._kept[split] = RecordWriter(self.folder, split)
            self._kept[split].add(example.kept)
            self._text.update(f"{sorted(example.kept.items())}\n".encode())
        self._source_bytes[source] += n_bytes
        self._size += n_bytes
        if self._size >= self.batch_bytes or len(self._batch) >= SPANS_AT_ONCE:
            self._send()
        return n_bytes

    def close(self) -> None:
        """Encode and write what is left, and finish the files."""
        self._send()
        while self._waiting:
            self._write_one()
        self._thread.shutdown()
        self.sources = source_names(self._source_bytes)
        final = {name: number for number, name in enumerate(self.sources)}
        final_sources = np.array([final.get(name, len(self.sources) - 1) for name in self._source_numbers], dtype="<u2")
        for kept in self._kept.values():
            kept.close()
        for split, writer in self._writers.items():
            digest = writer.close(final_sources)
            targets = writer.targets
            self.splits[split] = {
                "file": writer.path.name,
                "digest": digest,
                **({} if targets is None else targets.plain()),
                "documents": writer.n_documents,
                "characters": writer.n_characters,
                "bytes": writer.n_bytes,
                "tokens": writer.n_tokens,
                "bytes_per_token": round(writer.n_bytes / max(1, writer.n_tokens), 4),
                "unknown_tokens": self._unknown[split]["tokens"],
                "unknown_bytes": self._unknown[split]["bytes"],
                "tokens_per_byte": round(writer.n_tokens / max(1, writer.n_bytes), 4),
            }
        for (split, name), side in self._side.items():
            side.close()
            self.splits[split].setdefault("side", {})[name] = side.plain()
        self.splits = {split: self.splits[split] for split in SPLITS if split in self.splits}

    def abandon(self) -> None:
        """Let go of thread and files; without `close` before it, the files are of no use."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        for writer in (*self._writers.values(), *self._side.values()):
            writer.abandon()
        for kept in self._kept.values():
            kept.abandon()

    @property
    def kept_files(self) -> list[str]:
        """The names of the files with the fields that are kept."""
        return [kept.path.name for kept in self._kept.values()]

    @property
    def text_digest(self) -> str:
        """The hash of all text so far, with its split."""
        return self._text.hexdigest()

    def _send(self) -> None:
        if self._batch:
            texts = ["" if part.id is not None else part.text for part in self._batch]
            self._waiting.append((self._batch, self._thread.submit(self.tokenizer.encode_batch, texts)))
            self._batch, self._size = [], 0
        while len(self._waiting) > WAITING:
            self._write_one()

    def _write_one(self) -> None:
        batch, future = self._waiting.popleft()
        unknown_id = self.tokenizer.unknown_id
        for part, ids in zip(batch, future.result()):
            writer = self._writer(part.split)
            if part.id is not None:
                ids = np.array([part.id], dtype=self.tokenizer.dtype)
            if self._token_bytes is not None and (unknown := int((ids == unknown_id).sum())):
                known_bytes = int(self._token_bytes[ids].sum())  # unknown ids have none
                self._unknown[part.split] += Counter(tokens=unknown, bytes=max(0, part.n_bytes - known_bytes))
            n_characters = 0 if part.id is not None else len(part.text)
            writer.add(ids, n_bytes=part.n_bytes, n_characters=n_characters, target=part.target)
            if part.ends:
                writer.end_document(part.source, separator=part.separator)

    def _writer(self, split: str) -> ShardWriter:
        if split not in self._writers:
            path = self.folder / f"{split}.bin"
            self._writers[split] = ShardWriter(path, self.tokenizer.dtype, self.tokenizer.eot_id, targets=self.targets)
        return self._writers[split]

    def _side_writer(self, split: str, name: str, shape: tuple[int, ...]) -> SideWriter:
        if (split, name) not in self._side:
            self._side[split, name] = SideWriter(self.folder / f"{split}.{name}", shape)
        return self._side[split, name]


def source_names(n_bytes: Mapping[str, int]) -> list[str]:
    """Return the names of the sources, most bytes first; `OTHER` stands last for those that are too many."""
    names = sorted(n_bytes, key=lambda name: (-n_bytes[name], name))
    if len(names) <= MAX_NAMED_SOURCES:
        return names
    return [name for name in names if name != OTHER][:MAX_NAMED_SOURCES] + [OTHER]
