"""Open plain, gzip, bzip2, xz and Zstandard files as streams of bytes, and refuse damage anywhere in them."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from prospero.data.sources.signatures import SIGNATURE_BYTES, signature
from prospero.errors import DataError

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}
"""File ending -> name of the compression."""

UNTROUBLED_BYTES = 1 << 26
"""A file may unpack to this many bytes whatever its ratio."""

UNPACKING = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What the unpackers raise where a file is damaged or cut off."""

_INPUT_BYTES = 1 << 12  # a Zstandard block of few bytes can stand for 128 KB, and its unpacker has no bound of its own
_OUTPUT_BYTES = 1 << 20
_LARGEST_WINDOW = 1 << 31


class ByteStream(Protocol):
    """Anything with `read(n)`."""

    def read(self, n: int, /) -> bytes:
        """Return at most `n` bytes; none at the end."""
        ...


class Expansion:
    """Counts what a file unpacks to, and refuses what no text unpacks to."""

    def __init__(self, place: str, packed: int, max_ratio: int | None) -> None:
        self.place, self.max_ratio = place, max_ratio
        self.limit = None if max_ratio is None else max(UNTROUBLED_BYTES, max_ratio * packed)
        self.packed, self.unpacked = packed, 0

    def add(self, n_bytes: int) -> None:
        """Count bytes; raises `DataError` beyond the limit."""
        self.unpacked += n_bytes
        if self.limit is not None and self.unpacked > self.limit:
            raise DataError(
                f"{self.place}: its {self.packed} bytes unpack to more than {self.limit / 1e6:.0f} MB, more than "
                f"{self.max_ratio} times their size, as no usual text does; if you trust the file, raise "
                "data.max_unpacking_ratio (null: no limit)."
            )


@contextmanager
def open_bytes(path: Path, max_ratio: int | None = None) -> Iterator[ByteStream]:
    """Open `path` for reading, unpacked when its ending names a compression; memory stays small whatever the ratio.

    Raises `DataError` when the file is not what its ending says, or unpacks to more than `max_ratio` times its size.
    Damage further on raises what the unpacker raises, or EOFError.
    """
    with open(path, "rb") as file:
        wanted = COMPRESSIONS.get(path.suffix.lower())
        yield file if wanted is None else unpacked(file, wanted, Expansion(str(path), path.stat().st_size, max_ratio))


def unpacked(file: ByteStream, compression: str, expansion: Expansion) -> ByteStream:
    """Return what a stream unpacks to, counted; raises `DataError` when it does not begin as `compression` does."""
    head = b""
    while len(head) < SIGNATURE_BYTES and (block := file.read(SIGNATURE_BYTES - len(head))):
        head += block
    found = signature(head)
    if found != compression:
        what = f"looks like {found}" if found else ("is empty" if not head else f"begins with {head[:4]!r}")
        place = expansion.place
        raise DataError(f"{place}: the ending says {compression}, but the file {what}; rename it or leave it out.")
    whole: Any = _Begun(head, file)
    stream = gzip.GzipFile(fileobj=whole) if compression == "gzip" else UnpackedStream(whole, _UNPACKERS[compression])
    return Counted(stream, expansion)


class _Begun:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: ByteStream) -> None:
        self._head, self._rest = head, rest

    def read(self, n: int, /) -> bytes:
        """Return at most `n` bytes."""
        if not self._head:
            return self._rest.read(n)
        given, self._head = self._head[:n], self._head[n:]
        return given


class UnpackedStream:
    """Streams that follow one another in a file, unpacked as one; every byte of the file must belong to one of them.

    The readers of Python's bz2 and lzma end quietly where what follows a stream is no stream, and that of Zstandard
    where the file is cut off. Zeros after a stream are padding, as for gzip.
    """

    def __init__(self, file: ByteStream, new_unpacker: Callable[[], Any]) -> None:
        self._file, self._new_unpacker = file, new_unpacker
        self._unpacker: Any = None
        self._waiting = b""  # read from the file and not yet given to an unpacker
        self._ready, self._given = b"", 0  # unpacked, and how much of it has been given out

    def read(self, n: int, /) -> bytes:
        """Return at most `n` bytes; raises EOFError when the last stream is cut off."""
        while self._given == len(self._ready) and self._next_stream():
            self._ready, self._given = self._unpack(), 0
        start = self._given
        self._given = min(len(self._ready), start + n)
        return self._ready[start : self._given]

    def _next_stream(self) -> bool:
        """Make sure that a stream is open; return False when the file ends after one."""
        if self._unpacker is not None:
            return True
        while not self._waiting.lstrip(b"\0"):
            self._waiting = self._file.read(_INPUT_BYTES)
            if not self._waiting:
                return False
        self._waiting = self._waiting.lstrip(b"\0")
        self._unpacker = self._new_unpacker()
        return True

    def _unpack(self) -> bytes:
        unpacker = self._unpacker
        bounded = not isinstance(unpacker, _Zstandard)  # which has no bound and takes small input instead
        if not self._waiting and (not bounded or unpacker.needs_input):
            self._waiting = self._file.read(_INPUT_BYTES)
            if not self._waiting:
                raise EOFError("it ends within a compressed stream")
        given, self._waiting = self._waiting, b""
        unpacked = unpacker.decompress(given, _OUTPUT_BYTES) if bounded else unpacker.decompress(given)
        if unpacker.eof:
            self._waiting, self._unpacker = unpacker.unused_data, None
        return unpacked


class Counted:
    """A stream whose bytes an `Expansion` counts."""

    def __init__(self, stream: ByteStream, expansion: Expansion) -> None:
        self._stream, self._expansion = stream, expansion

    def read(self, n: int, /) -> bytes:
        """Return at most `n` bytes; `DataError` beyond the limit."""
        block = self._stream.read(n)
        self._expansion.add(len(block))
        return block


class _Zstandard:
    """The unpacker of one frame; its error becomes that of the other unpackers."""

    def __init__(self) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._inner = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()

    def decompress(self, data: bytes) -> bytes:
        try:
            return self._inner.decompress(data)
        except self._error as error:
            raise OSError(str(error)) from None

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


_UNPACKERS: dict[str, Callable[[], Any]] = {
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
    "Zstandard": _Zstandard,
}
