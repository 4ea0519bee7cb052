"""Which tokens of a split are targets: one byte a token, in a file beside the tokens, for examples alone."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from prospero.errors import DataError


class TargetWriter:
    """Writes the marks as the tokens come, and counts those that are targets."""

    def __init__(self, path: Path) -> None:
        self.path, self.n_targets = path, 0
        self.digest = hashlib.blake2b(digest_size=16)
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close() or abandon()

    def add(self, n_tokens: int, target: bool) -> None:
        """Mark the next tokens."""
        marks = bytes([target]) * n_tokens
        self.digest.update(marks)
        self._file.write(marks)
        self.n_targets += n_tokens * target

    def add_marks(self, marks: np.ndarray) -> None:
        """Mark the next tokens one by one, bool [n]."""
        content = marks.tobytes()
        self.digest.update(content)
        self._file.write(content)
        self.n_targets += int(marks.sum())

    def plain(self) -> dict[str, Any]:
        """Return what the receipt says of the file."""
        return {"targets": self.path.name, "targets_digest": self.digest.hexdigest(), "target_tokens": self.n_targets}

    def close(self) -> None:
        """Make the file durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file after an error, finished or not."""
        with contextlib.suppress(OSError):  # what is buffered may not fit on a full disk
            self._file.close()


def open_targets(path: Path, n_tokens: int) -> np.ndarray:
    """Return the marks, bool [n_tokens], by memory map; DataError when the file is missing or cut off."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); prepare the data again") from error
    if size != n_tokens:
        raise DataError(f"{path} has {size} bytes instead of {n_tokens}: it was cut off; prepare the data again")
    return np.memmap(path, np.bool_, mode="r").view(np.ndarray)


def verify_file(path: Path, digest: str) -> None:
    """Read a whole file, a block at a time, and compare it with `digest`; raises `DataError` at any difference."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if found != digest:
        raise DataError(f"{path} differs from what was written (a damaged disk?); delete its folder and prepare again")
