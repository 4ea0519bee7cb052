"""Token shards: one memory-mapped file per split, readable at any position without loading anything.

Layout, little-endian: a header of 64 bytes, the tokens (uint16 or uint32), zeros up to a multiple of 8, the document
ends (uint64), the document sources (uint16). The first token is the document separator, and every document is followed
by one, so that each token of the text is predicted from something. A document end is the position after the document's
separator. A source is a number in the receipt's list of sources. Shards of examples have a second file, which marks the
tokens that are targets.
"""

import contextlib
import hashlib
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.targets import TargetWriter, open_targets
from prospero.errors import DataError

MAGIC = b"PROSPERO"
VERSION = 2
HEADER = struct.Struct("<8sIIQQQQ16x")
"""Magic, version, bytes per token, tokens, documents, UTF-8 bytes of the text, characters of the text."""
ENDS_IN_MEMORY = 2**16
"""Document ends that are held before they are written out."""
COPIED_AT_ONCE = 2**20
"""Tokens that are copied at a time from other shards."""


class TokenShards:
    """A split, opened by memory map: `tokens(start, stop)`, `document_ends` and `document_sources` read when needed.

    `n_bytes` and `n_characters` are those of the text, separators not counted. `targets` bool [n_tokens] marks what is
    predicted; None where every token is. Opening checks the header and the size
    of the file; `verify` reads it all. Instances are picklable: a worker maps the file for itself.
    """

    def __init__(self, path: Path, *, targets: Path | None = None, documents_per_example: int = 1) -> None:
        self.path, self.targets_path, self.documents_per_example = Path(path), targets, documents_per_example
        try:
            size = self.path.stat().st_size
            with open(self.path, "rb") as file:
                header = file.read(HEADER.size)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror}); prepare the data again") from error
        if len(header) < HEADER.size or header[:8] != MAGIC:
            raise DataError(f"{self.path} is not a token file of prospero; prepare the data again")
        _, version, self.bytes_per_id, self.n_tokens, self.n_documents, self.n_bytes, self.n_characters = HEADER.unpack(
            header
        )
        if version != VERSION or self.bytes_per_id not in (2, 4):
            raise DataError(f"{self.path} has format version {version}, this program reads {VERSION}; prepare again")
        self._ends_offset = _aligned(HEADER.size + self.n_tokens * self.bytes_per_id)
        expected = self._ends_offset + (8 + 2) * self.n_documents
        if size != expected:
            raise DataError(f"{self.path} has {size} bytes instead of {expected}: it was cut off; prepare again")
        self._map()

    def _map(self) -> None:
        dtype = np.dtype("<u2" if self.bytes_per_id == 2 else "<u4")
        raw = np.memmap(self.path, np.uint8, mode="r").view(np.ndarray)
        self.all_tokens: np.ndarray = raw[HEADER.size : HEADER.size + self.n_tokens * self.bytes_per_id].view(dtype)
        sources_offset = self._ends_offset + 8 * self.n_documents
        self.document_ends: np.ndarray = raw[self._ends_offset : sources_offset].view("<u8")
        self.document_sources: np.ndarray = raw[sources_offset:].view("<u2")
        self.targets: np.ndarray | None = (
            None if self.targets_path is None else open_targets(self.targets_path, self.n_tokens)
        )

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Return tokens [start, stop) without copying; outside of [0, n_tokens] there are none."""
        return self.all_tokens[start:stop]

    def verify(self, digest: str) -> None:
        """Read the whole file and compare it with `digest` from the receipt; raises `DataError` at any difference."""
        if file_digest(self.path) != digest:
            raise DataError(
                f"{self.path} differs from what was written (a damaged disk?); delete its folder and prepare again"
            )

    def __getstate__(self) -> dict[str, Any]:
        mapped = ("all_tokens", "document_ends", "document_sources", "targets")
        return {key: value for key, value in self.__dict__.items() if key not in mapped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()


class ShardWriter:
    """Write one split as it comes: memory does not grow with the number of tokens or documents."""

    def __init__(self, path: Path, dtype: type[np.unsignedinteger], eot_id: int, *, targets: bool = False) -> None:
        self.path = Path(path)
        self.targets = TargetWriter(self.path.with_suffix(".targets")) if targets else None
        self._last_is_target = False
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._eot = np.array([eot_id], dtype=self._dtype)
        self._file = open(self.path, "wb")  # noqa: SIM115 - closed by close() or abandon()
        self._ends_path = self.path.with_suffix(".ends")
        self._ends_file = open(self._ends_path, "wb")  # noqa: SIM115
        self._sources_path = self.path.with_suffix(".sources")
        self._sources_file = open(self._sources_path, "wb")  # noqa: SIM115
        self._ends: list[int] = []
        self._sources: list[int] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self.n_tokens = self.n_documents = self.n_bytes = self.n_characters = 0
        self._file.write(b"\0" * HEADER.size)
        self._write(self._eot, target=False)

    def add(self, tokens: np.ndarray, *, n_bytes: int, n_characters: int, target: bool = True) -> None:
        """Append ids of one piece of a document, and count the text they stand for."""
        self._write(tokens.astype(self._dtype, copy=False), target=target)
        self._last_is_target = target
        self.n_bytes += n_bytes
        self.n_characters += n_characters

    def end_document(self, source: int = 0, *, separator: bool = True) -> None:
        """Note that a document of `source` ends here; without `separator` it was cut and goes on in another split.

        The separator is a target where the piece before it is: a response ends by it.
        """
        if separator:
            self._write(self._eot, target=self._last_is_target)
        self.n_documents += 1
        self._ends.append(self.n_tokens)
        self._sources.append(source)
        if len(self._ends) >= ENDS_IN_MEMORY:
            self._flush_ends()

    def append(self, other: TokenShards, source: int) -> None:
        """Append all documents of `other` as documents of `source`; its last one gets a separator if it has none."""
        before = np.uint64(self.n_tokens - 1)  # the first token of `other` is the separator that stands here already
        for start in range(1, other.n_tokens, COPIED_AT_ONCE):
            tokens = other.tokens(start, min(start + COPIED_AT_ONCE, other.n_tokens))
            self._raw(tokens.astype(self._dtype, copy=False).tobytes())
            self.n_tokens += len(tokens)
            if self.targets is not None:
                assert other.targets is not None, "all parts of a corpus are examples, or none"
                self.targets.add_marks(other.targets[start : start + len(tokens)])
        was_cut = int(other.all_tokens[-1]) != int(self._eot[0])
        if was_cut:
            self._write(self._eot, target=False)
        for start in range(0, other.n_documents, ENDS_IN_MEMORY):
            ends = (other.document_ends[start : start + ENDS_IN_MEMORY] + before).tolist()
            self._ends.extend(ends)
            self._sources.extend([source] * len(ends))
            if was_cut and start + len(ends) == other.n_documents:
                self._ends[-1] += 1
            self._flush_ends()
        self.n_documents += other.n_documents
        self.n_bytes += other.n_bytes
        self.n_characters += other.n_characters

    def close(self, final_sources: np.ndarray | None = None) -> str:
        """Write ends, sources and header, make the file durable, and return its digest.

        `final_sources` [sources] says what is written for each source number (None: the number itself).
        """
        self._flush_ends()
        self._ends_file.close()
        self._sources_file.close()
        position = self._file.tell()
        self._raw(b"\0" * (_aligned(position) - position))
        with open(self._ends_path, "rb") as ends, open(self._sources_path, "rb") as sources:
            for block in iter(lambda: ends.read(2**20), b""):
                self._raw(block)
            for block in iter(lambda: sources.read(2**20), b""):
                numbers = np.frombuffer(block, dtype="<u4")
                self._raw((numbers if final_sources is None else final_sources[numbers]).astype("<u2").tobytes())
        self._ends_path.unlink()
        self._sources_path.unlink()
        header = HEADER.pack(
            MAGIC, VERSION, self._dtype.itemsize, self.n_tokens, self.n_documents, self.n_bytes, self.n_characters
        )
        self._digest.update(header)
        self._file.seek(0)
        self._file.write(header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self.targets is not None:
            self.targets.close()
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Let go of the files after an error, finished or not."""
        for file in (self._file, self._ends_file, self._sources_file):
            with contextlib.suppress(OSError):  # what is buffered may not fit on a full disk
                file.close()
        if self.targets is not None:
            self.targets.abandon()

    def _write(self, tokens: np.ndarray, *, target: bool) -> None:
        self._raw(tokens.tobytes())
        self.n_tokens += len(tokens)
        if self.targets is not None:
            self.targets.add(len(tokens), target)

    def _raw(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)

    def _flush_ends(self) -> None:
        self._ends_file.write(np.array(self._ends, dtype="<u8").tobytes())
        self._sources_file.write(np.array(self._sources, dtype="<u4").tobytes())
        self._ends.clear()
        self._sources.clear()


def file_digest(path: Path) -> str:
    """Return the digest of a token file: everything after the header, then the header."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        header = file.read(HEADER.size)
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    digest.update(header)
    return digest.hexdigest()


def _aligned(position: int) -> int:
    return -(-position // 8) * 8
