"""Members of tar and zip archives, one after another as streams: nothing is written to disk, names are only names."""

import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from prospero.data.sources.compression import UNPACKING, ByteStream, Counted, Expansion
from prospero.data.sources.find_files import readable_name
from prospero.errors import DataError
from prospero.printable import printable

LINKS = "links and devices in archives left out"
AFTER_THE_END = "tar archives with more behind their end mark, which is left out"
EMPTY = "archives without any file"

TAR_ENDINGS = {".tgz": "gzip", ".tbz2": "bzip2", ".tbz": "bzip2", ".txz": "xz", ".tzst": "Zstandard"}
"""Endings that stand for those of tar and of a compression."""
_BLOCK = 1 << 16


@dataclass(slots=True)
class Member:
    """A file in an archive: its name there, its size as stated, and its content, to be read before the next one's."""

    name: str
    size: int
    stream: ByteStream


def tar_members(stream: ByteStream, place: str, notes: Counter[str]) -> Iterator[Member]:
    """Give the files of a tar, which is read from its beginning to its end once.

    Raises `DataError` for one that is damaged or has no end mark, where Python's reader would stop in silence.
    """
    ends: list[Exception] = []
    forward = _Forward(stream)
    last, any_file = "", False
    try:
        archive = tarfile.TarFile(fileobj=forward, tarinfo=_watched(ends), encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # which would grow with the archive
            last = _readable(member.name)
            if member.isdir():
                continue
            any_file = True
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                notes[LINKS] += 1
                continue
            yield Member(last, member.size, content)
    except (tarfile.TarError, *UNPACKING) as error:
        raise DataError(f"{place}: a damaged tar archive, {_behind(last)} ({error})") from None
    if not ends or not isinstance(ends[-1], tarfile.EOFHeaderError):  # type: ignore[attr-defined]
        raise DataError(f"{place}: a tar archive that is cut off or damaged {_behind(last)}; no end mark follows")
    if not any_file:
        notes[EMPTY] += 1
    if _anything_left(forward):
        notes[AFTER_THE_END] += 1


def _behind(name: str) -> str:
    return f"behind its member {name}" if name else "at its beginning"


def _watched(ends: list[Exception]) -> type[tarfile.TarInfo]:
    """Return a reader of headers that notes why it found none: tarfile tells its end from damage, and keeps it."""

    class Watched(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
            try:
                return super().fromtarfile(archive)
            except tarfile.HeaderError as error:
                ends.append(error)
                raise

    return Watched


class _Forward:
    """A stream with the places in it, which can be left behind and never be gone back to."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._place = stream, 0

    def tell(self) -> int:
        return self._place

    def read(self, n: int, /) -> bytes:
        pieces = []
        while n > 0 and (piece := self._stream.read(min(n, _BLOCK))):
            pieces.append(piece)
            self._place += len(piece)
            n -= len(piece)
        return b"".join(pieces)

    def seek(self, place: int, /) -> int:
        if place < self._place:
            raise tarfile.StreamError("its members do not follow one another")
        while self._place < place and self.read(min(_BLOCK, place - self._place)):
            pass
        return self._place


def _anything_left(stream: _Forward) -> bool:
    """Read a stream to its end, so that its unpacker checks all of it; return whether more than zeros came."""
    found = False
    while block := stream.read(_BLOCK):
        found = found or block.strip(b"\0") != b""
    return found


def zip_members(opened: BinaryIO, expansion: Expansion, notes: Counter[str]) -> Iterator[Member]:
    """Give the files of a zip in their order; all that it unpacks to counts against one limit.

    Raises `DataError` for a zip that is damaged; a member of its own may raise BadZipFile when it is read.
    """
    place, any_file = expansion.place, False
    try:
        archive = zipfile.ZipFile(opened)
    except DataError:
        raise  # of a server that sends the file
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{place}: no zip archive, or one that is damaged or cut off ({error})") from None
    with archive:
        for info in archive.infolist():
            if info.filename.endswith("/"):  # is_dir() fails on one without a name
                continue
            any_file = True
            mode = info.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                notes[LINKS] += 1
                continue
            yield Member(_readable(info.filename), info.file_size, _Lazy(archive, info, expansion))
    if not any_file:
        notes[EMPTY] += 1


class _Lazy:
    """A member of a zip, opened when it is read."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, expansion: Expansion) -> None:
        self._archive, self._info, self._expansion = archive, info, expansion
        self._stream: ByteStream | None = None

    def read(self, n: int, /) -> bytes:
        if self._stream is None:
            if self._info.flag_bits & 1:
                raise OSError("it is encrypted")
            self._stream = Counted(self._archive.open(self._info), self._expansion)
        return self._stream.read(n)


def _readable(name: str) -> str:
    return printable(readable_name(name.removeprefix("./")))
