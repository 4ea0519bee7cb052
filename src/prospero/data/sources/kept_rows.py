"""Rows of a stream, kept in shards on this machine as they come, so that a stream that was ended goes on exactly there.

    <folder>/about.json        what is streamed, and the commit that a branch stood for when it began
    <folder>/00000.jsonl.zst   the values of its first rows, one a line; none is ever changed
    <folder>/state.json        the shards with their hashes, and where the stream stood behind the last of them

A shard counts once `state.json` names it, so a kill at any moment costs the rows of one shard, which come again.
"""

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from prospero.data.cache import readable_errors
from prospero.errors import DataError
from prospero.log import log
from prospero.paths import atomic_path, write_text
from prospero.processes import locks

FORMAT = 1
_ABOUT, _STATE = "about.json", "state.json"

Streams = Callable[[dict[str, Any] | None], Iterable[tuple[Any, Callable[[], dict[str, Any]]]]]
"""From a position (None: the beginning) to the values that follow, each with what gives the position behind it."""


@dataclass(slots=True)
class _State:
    shards: list[dict[str, Any]]
    position: dict[str, Any] | None
    complete: bool

    @property
    def rows(self) -> int:
        return sum(shard["rows"] for shard in self.shards)


class KeptRows:
    """The values of one column of a stream, from the disk as far as they are there."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes

    def about(self, find_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what was found out when the folder was begun; `find_out` is asked once, and what it says is kept."""
        path = self.folder / _ABOUT
        with readable_errors(self.folder), self._locked():
            if not path.exists():
                write_text(path, json.dumps({"format": FORMAT} | find_out(), indent=2) + "\n")
            return self._read(path, "format")

    def values(self, streams: Streams) -> Iterator[Any]:
        """Give all values, those that are kept first; what comes after them is kept on its way."""
        with readable_errors(self.folder), self._locked():
            state = self._state()
            for shard in state.shards:
                yield from self._read_shard(shard)
            if state.complete:
                return
            if state.shards:
                log.info("Going on behind row %s of the stream, kept in %s.", f"{state.rows:,}", self.folder)
            writer = _ShardWriter()
            for value, position in streams(state.position):
                writer.add(value)
                yield value
                if writer.size >= self.shard_bytes:
                    state.position = position()
                    self._keep(writer, state)
                    writer = _ShardWriter()
            state.complete, state.position = True, None
            self._keep(writer, state)

    def _locked(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        return locks.locked(
            self.folder / ".lock", lambda: log.info("Another process streams into %s; waiting for it.", self.folder)
        )

    def _keep(self, writer: "_ShardWriter", state: _State) -> None:
        if writer.rows:
            content = writer.finish()
            shard = {"file": f"{len(state.shards):05d}.jsonl.zst", "rows": writer.rows, "hash": _hash(content)}
            with atomic_path(self.folder / shard["file"]) as path:
                path.write_bytes(content)
            state.shards.append(shard)
        plain = {"shards": state.shards, "position": state.position, "complete": state.complete}
        write_text(self.folder / _STATE, json.dumps(plain) + "\n")

    def _state(self) -> _State:
        path = self.folder / _STATE
        if not path.exists():
            return _State([], None, False)
        plain = self._read(path, "shards", "position", "complete")
        return _State(plain["shards"], plain["position"], plain["complete"])

    def _read(self, path: Path, *names: str) -> dict[str, Any]:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._damaged(path) from error
        if not isinstance(found, dict) or not found.keys() >= set(names):
            raise self._damaged(path)
        return found

    def _read_shard(self, shard: dict[str, Any]) -> Iterator[Any]:
        path = self.folder / shard["file"]
        if not path.is_file():
            raise self._damaged(path)
        content = path.read_bytes()
        if _hash(content) != shard["hash"]:
            raise self._damaged(path)
        with zstandard.ZstdDecompressor().stream_reader(content) as stream:
            for line in io.TextIOWrapper(stream, encoding="ascii"):
                value = json.loads(line)
                yield base64.b64decode(value["bytes"]) if isinstance(value, dict) else value

    def _damaged(self, path: Path) -> DataError:
        return DataError(
            f"{path} is missing or damaged; move {self.folder} away, or give another data.shards_dir, and the rows are "
            "streamed anew"
        )


class _ShardWriter:
    """A shard in memory, packed as it grows."""

    def __init__(self) -> None:
        self.rows = self.size = 0
        self._packer = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
        self._pieces: list[bytes] = []

    def add(self, value: Any) -> None:
        """Take one value: a text, bytes, or (whatever else it is) nothing, for no text is made of it."""
        plain = {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        line = (json.dumps(plain if isinstance(plain, str | dict) else None) + "\n").encode("ascii")
        self._pieces.append(self._packer.compress(line))
        self.rows, self.size = self.rows + 1, self.size + len(line)

    def finish(self) -> bytes:
        """Return the packed shard."""
        return b"".join([*self._pieces, self._packer.flush()])


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
