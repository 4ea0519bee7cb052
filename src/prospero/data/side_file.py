"""What stands beside the tokens of a split: one array of the same shape for each of its documents, such as a picture.

The arrays lie one after another as uint8 in one file, memory-mapped; row i belongs to document i of the split. Shape,
number and digest are in the receipt.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.packing.packing import Packing
from prospero.data.targets import verify_file
from prospero.errors import DataError


class SideWriter:
    """Writes the rows as they come."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.rows = path, shape, 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close() or abandon()

    def add(self, row: np.ndarray) -> None:
        """Append the array of the next document; DataError when it has another shape than those before."""
        if row.shape != self.shape or row.dtype != np.uint8:
            raise DataError(f"a row of {row.shape} {row.dtype} beside rows of {self.shape} uint8 in {self.path.name}")
        content = np.ascontiguousarray(row).tobytes()
        self._digest.update(content)
        self._file.write(content)
        self.rows += 1

    def close(self) -> None:
        """Make the file durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def plain(self) -> dict[str, Any]:
        """Return what the receipt says of the file."""
        shape = list(self.shape)
        return {"file": self.path.name, "digest": self._digest.hexdigest(), "shape": shape, "rows": self.rows}

    def abandon(self) -> None:
        """Let go of the file after an error, finished or not."""
        with contextlib.suppress(OSError):  # what is buffered may not fit on a full disk
            self._file.close()


class SideFile:
    """The rows of a split, uint8 [N, *shape], by memory map; a worker that gets it by pickle maps it for itself."""

    def __init__(self, path: Path, row: Mapping[str, Any]) -> None:
        """Open what a receipt's `row` describes; DataError when the file is missing or cut off."""
        self.path, self.digest = path, str(row["digest"])
        self.shape, self.n_rows = tuple(int(size) for size in row["shape"]), int(row["rows"])
        expected = self.n_rows * int(np.prod(self.shape))
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); prepare the data again") from error
        if size != expected:
            raise DataError(f"{path} has {size} bytes instead of {expected}: it was cut off; prepare the data again")
        self._map()

    def _map(self) -> None:
        self.all: np.ndarray = np.memmap(self.path, np.uint8, mode="r").view(np.ndarray).reshape(-1, *self.shape)

    def verify(self) -> None:
        """Read the whole file and compare it with the receipt; raises `DataError` at any difference."""
        verify_file(self.path, self.digest)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "all"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()


def side_rows(side: Mapping[str, SideFile], packing: Packing, sequences: np.ndarray) -> dict[str, np.ndarray]:
    """Return what stands beside the document of each of `sequences` [B]: pictures [N, H, W, C] as [B, C, H, W].

    Raises DataError for a sequence of several documents: it has no picture of its own.
    """
    if not side:
        return {}
    documents = [packing.documents(sequences[place : place + 1]) for place in range(len(sequences))]
    if any(len(held) != 1 for held in documents):
        raise DataError("a sequence holds several examples, and a picture stands before one; choose packing=padded")
    rows = np.concatenate(documents)
    return {name: np.moveaxis(file.all[rows], -1, 1) for name, file in side.items()}
