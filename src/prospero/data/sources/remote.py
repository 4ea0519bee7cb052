"""Files that other machines keep: s3://, gs://, hf:// and whatever else fsspec knows. Needs prospero[remote].

What a server tells of a file (ETag, hash, generation, time of change) is part of the corpus' identity, so that a file
that was replaced is prepared anew.
"""

import importlib.util
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from prospero.data.sources.find_files import FoundFile, why_left_out
from prospero.errors import ConfigError, DataError, ProsperoError
from prospero.log import log
from prospero.printable import printable

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_MAGIC = re.compile(r"[*?\[]")
_MARKS = (
    "ETag", "etag", "md5Hash", "md5", "crc32c", "sha256", "blob_id", "checksum", "generation", "version_id",
    "LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "created",
)  # fmt: skip
"""What file systems call a mark of the content, or its time of change."""
_BUFFER_BYTES = 1 << 20


def is_remote(path: str) -> bool:
    """Return whether a path names a protocol (`s3://...`)."""
    return _SCHEME.match(path) is not None


def split_url(url: str) -> tuple[str, str]:
    """Return the protocol, with ://, and the rest."""
    protocol = url[: url.index("://") + 3]
    return protocol, url[len(protocol) :]


def fixed_url(url: str) -> str:
    """Return the folder before the first of * ? [ in a URL, or that of a file."""
    protocol, rest = split_url(url)
    folder = _MAGIC.split(rest, maxsplit=1)[0]
    return protocol + folder.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class RemoteFile(FoundFile):
    """A file of a file system of fsspec; `path` serves for its ending alone."""

    system: Any
    """The file system of fsspec."""
    key: str
    """Its whole name there."""
    url: str
    marks: str

    @property
    def place(self) -> str:
        """Its URL."""
        return self.url

    @property
    def version(self) -> str:
        """The marks of its content that the server gives."""
        return self.marks

    def open(self) -> BinaryIO:
        """Open it for reading bytes; raises `DataError` when the server refuses, then or later."""
        with _one_line(self.url):
            return io.BufferedReader(_Remote(self.system.open(self.key, "rb"), self.url), _BUFFER_BYTES)


class _Remote(io.RawIOBase):
    """A file of fsspec, whose errors are as many as its servers, and which all become `DataError`."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def readinto(self, buffer: Any, /) -> int:
        with _one_line(self._url):
            block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with _one_line(self._url):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def find_remote(url: str, notes: Counter[str]) -> list[RemoteFile]:
    """Return the files that a URL of a file, a folder or a glob means, sorted by name, as `find_files` does.

    Raises `ConfigError` where a package is missing, `DataError` for what the server refuses or does not have.
    """
    if importlib.util.find_spec("fsspec") is None:
        raise ConfigError(f'{url} needs the package "fsspec": pip install "prospero[remote]"')
    from fsspec.core import url_to_fs

    with _one_line(url):
        system, path = url_to_fs(url)
        system.invalidate_cache()  # what was listed by this process before may be old
        found = _listing(system, path, url, notes)
    protocol = split_url(url)[0]
    files = [_file(system, protocol, name, _name(name, root), info) for name, (root, info) in sorted(found.items())]
    if not files:
        left = ", ".join(f"{count} {reason}" for reason, count in notes.most_common(4) if count)
        raise DataError(f"{url}: no file with text is found there{f' ({left})' if left else ''}; give data.path=...")
    if not any(file.size for file in files):
        raise DataError(f"{url}: {len(files)} files, and all of them are empty; give data.path= a file with text")
    return sorted(files, key=lambda file: file.name)


def _listing(system: Any, path: str, url: str, notes: Counter[str]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the files by their paths, each with the folder that it is named from and what the server tells of it."""
    path = path.rstrip("/") or path
    if _MAGIC.search(path) and not system.exists(path):
        matched = system.glob(path, detail=True)
        root = _MAGIC.split(path, maxsplit=1)[0].rpartition("/")[0]
        files = {name: (root, info) for name, info in matched.items() if info["type"] == "file"}
        left = len(matched) - len(files)
        if left and "**" not in path:
            notes["folders left out: '*' stays in one folder, '**' goes into all below"] += left
        return files
    if system.isdir(path):
        below = system.find(path, detail=True)
        return {name: (path, info) for name, info in below.items() if _is_taken(_name(name, path), notes)}
    if not system.exists(path):
        raise DataError(f"{url}: there is no such file or folder; '*' and '**' make a glob")
    return {path: (path.rpartition("/")[0], system.info(path))}


def _is_taken(name: str, notes: Counter[str]) -> bool:
    """Return whether a file below a folder is read, by the rules of folders of this machine; count it if not."""
    if (reason := why_left_out(name)) is None:
        return True
    notes[reason] += 1
    return False


def _name(path: str, root: str) -> str:
    return path.removeprefix(root).lstrip("/")


def _file(system: Any, protocol: str, path: str, name: str, info: Mapping[str, Any]) -> RemoteFile:
    url = path if is_remote(path) else protocol + (path if protocol == "file://" else path.lstrip("/"))
    if info.get("size") is None:
        raise DataError(f"{url}: its server does not say how large it is; download it, and give the file")
    marks = [f"{mark}={info[mark]}" for mark in _MARKS if info.get(mark) is not None]
    if not marks:
        log.warning("%s: its server gives no mark of its content; a change is noticed by its size alone.", url)
    return RemoteFile(
        path=Path(path), name=printable(name), size=int(info["size"]), mtime_ns=0, system=system, key=path,
        url=printable(url), marks=" ".join(marks),
    )  # fmt: skip


@contextmanager
def _one_line(url: str) -> Iterator[None]:
    """Make one line of whatever a file system, a network or a server raises."""
    try:
        yield
    except ProsperoError:
        raise
    except ImportError as error:
        found = f"{url} needs another package ({_line(error)})"
        raise ConfigError(f"{found}: pip install s3fs for s3://, gcsfs for gs://, or the one that is named") from error
    except PermissionError as error:
        raise DataError(f"{url}: no permission to read ({_line(error)})") from error
    except FileNotFoundError as error:
        raise DataError(f"{url}: not found ({_line(error)})") from error
    except Exception as error:  # each of the servers' libraries has classes of its own
        raise DataError(f"{url}: cannot be read ({type(error).__name__}: {_line(error)})") from error


def _line(error: Exception) -> str:
    return printable(next(iter(str(error).strip().splitlines()), type(error).__name__))
