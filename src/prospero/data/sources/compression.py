"""Open plain, gzip, bzip2, xz and Zstandard files as streams of bytes, and tell what a file really is."""

import bz2
import gzip
import lzma
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from prospero.errors import DataError

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}
"""File ending -> name of the compression."""

_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PAR1": "Parquet",
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip archive (or an Office document)",
    b"\x7fELF": "a program",
    b"SQLite format 3\x00": "an SQLite database",
    b"ARROW1\x00": "an Arrow file",
    b"OggS\x00": "an audio file",
    b"ID3\x03": "an audio file",
    b"ID3\x04": "an audio file",
}
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_LONGEST_ARROW_WINDOW = 1 << 27


class ByteStream(Protocol):
    """Anything with `read(n)`."""

    def read(self, n: int, /) -> bytes:
        """Return at most `n` bytes; none at the end."""
        ...


def signature(head: bytes) -> str | None:
    """Return what the first bytes of a file say it is ("gzip", "a PNG image"), or None for anything else."""
    if _BZIP2.match(head):
        return "bzip2"
    return next((name for start, name in _SIGNATURES.items() if head.startswith(start)), None)


@contextmanager
def open_bytes(path: Path) -> Iterator[ByteStream]:
    """Open `path` for reading, unpacked when its ending names a compression; memory stays small whatever the ratio.

    Raises `DataError` when the file is not what its ending says. Damage further on raises what the unpacker raises.
    """
    with open(path, "rb") as file:
        wanted = COMPRESSIONS.get(path.suffix.lower())
        if wanted is None:
            yield file
            return
        head = file.read(16)
        file.seek(0)
        found = signature(head)
        if found != wanted:
            what = f"looks like {found}" if found else ("is empty" if not head else f"begins with {head[:4]!r}")
            raise DataError(f"{path}: the ending says {wanted}, but the file {what}; rename it or leave it out.")
        if wanted == "gzip":
            yield gzip.GzipFile(fileobj=file)
        elif wanted == "bzip2":
            yield bz2.BZ2File(file)
        elif wanted == "xz":
            yield lzma.LZMAFile(file)  # noqa: SIM115  (closes nothing: `file` is closed here)
        else:
            with _open_zstandard(path) as stream:
                yield stream


@contextmanager
def _open_zstandard(path: Path) -> Iterator[ByteStream]:
    """Arrow's reader notices a truncated file, which python-zstandard's does not; only the latter takes `--long`."""
    import pyarrow
    import zstandard

    with open(path, "rb") as file:
        window = zstandard.get_frame_parameters(file.read(64)).window_size
    if window <= _LONGEST_ARROW_WINDOW:
        with pyarrow.input_stream(str(path), compression="zstd") as stream:
            yield stream
    else:
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        with open(path, "rb") as file, unpacker.stream_reader(file, read_across_frames=True) as stream:
            yield stream
