"""Writing a folder from all processes of a run: each its part, beside the final place; the first one publishes it.

Nothing here communicates: a process says that its part is durable by a small file in the unfinished folder, and the
first process waits for those of all. So the same code runs in the main thread or in one of its own.
"""

import json
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prospero.checkpoints.folders import publish, remove_folder
from prospero.checkpoints.manifest import describe_file, write_manifest
from prospero.checkpoints.pieces import Piece, local_tensor, pieces_of, writes
from prospero.checkpoints.plain_tree import encode
from prospero.checkpoints.reading import STATE
from prospero.checkpoints.tensor_file import Part, write_tensors
from prospero.errors import DataError
from prospero.paths import write_text
from prospero.spread import is_spread

WAIT_SECONDS = 600.0
"""How long the first process waits for the parts of the others."""
SPARE_BYTES = 16 * 2**20
"""What a save leaves free on the disk, for logs and its own small files."""
_LOOK_EVERY_SECONDS = 0.01


@dataclass(slots=True)
class Save:
    """What one process writes of one folder, taken at one moment of the run."""

    final: Path
    rank: int
    world_size: int
    state: Any
    parts: list[Part]
    temporary: Path = Path()
    """Where it is written, the same folder in all processes."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    after: Callable[[], None] = lambda: None
    """Called by the first process when the folder is published."""

    @property
    def n_bytes(self) -> int:
        """Bytes of this process's tensors."""
        return sum(part.n_bytes for part in self.parts)


class FolderWriter:
    """Saves trees of tensors and plain values, at once or in a thread; keeps the buffers of the copies it takes."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._copied = threading.Event()
        self._copied.set()
        self._waited_seconds = 0.0
        self._error: DataError | None = None

    def take(self, tree: Any, final: Path, *, rank: int, world_size: int) -> Save:
        """Return what this process has to write of `tree`; tensors are not yet copied."""
        collected = _Collected(rank)
        state = encode(tree, collected.add)
        return Save(final, rank, world_size, state, collected.parts)

    def copy(self, save: Save) -> None:
        """Copy the tensors into the CPU's memory, into the buffers of the last time where they fit.

        Later changes of the tensors then do not matter.
        """
        buffers: dict[str, Tensor] = {}
        devices: set[torch.device] = set()
        for part in save.parts:
            source = part.tensor
            buffer = self._buffers.get(part.key)
            if buffer is None or buffer.shape != source.shape or buffer.dtype != source.dtype:
                buffer = torch.empty(source.shape, dtype=source.dtype, pin_memory=source.is_cuda)
            buffer.copy_(source, non_blocking=source.is_cuda)
            buffers[part.key] = part.tensor = buffer
            devices |= {source.device} if source.is_cuda else set()
        for device in devices:
            with torch.cuda.device(device):
                done = torch.cuda.Event()
                done.record()
                done.synchronize()
        self._buffers = buffers

    def wait_until_copied(self) -> None:
        """Return when the tensors of the save that a thread does may change; to be called before they do."""
        if not self._copied.is_set():
            start = time.perf_counter()
            self._copied.wait()
            self._waited_seconds += time.perf_counter() - start

    def taken_wait(self) -> float:
        """Return the seconds spent in `wait_until_copied` since the last call."""
        seconds, self._waited_seconds = self._waited_seconds, 0.0
        return seconds

    def write(self, save: Save) -> None:
        """Write this process's part and, in the first process, publish the folder; DataError when it fails."""
        try:
            self._write_part(save)
            if save.rank == 0:
                _publish(save)
        except (OSError, RuntimeError, DataError) as error:
            if save.rank == 0:
                remove_folder(save.temporary)
            raise DataError(f"could not write the checkpoint {save.final}: {_reason(error)}") from error

    def write_in_thread(self, save: Save) -> None:
        """Copy the tensors and write in a thread of its own; `wait` gives the outcome.

        The copy is taken while the next step computes; whoever changes the tensors calls `wait_until_copied` first.
        """
        self._copied.clear()

        def work() -> None:
            try:
                try:
                    self.copy(save)
                finally:
                    self._copied.set()
                self.write(save)
            except DataError as error:
                self._error = error
            except BaseException as error:  # the thread must not end without a word
                self._error = DataError(f"could not write the checkpoint {save.final}: {error!r}")

        self._thread = threading.Thread(target=work, name="checkpoint")
        self._thread.start()

    def wait(self) -> DataError | None:
        """Wait for the thread and return what went wrong in this process since the last call."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        return error

    def _write_part(self, save: Save) -> None:
        name = f"tensors_{save.rank:05d}_of_{save.world_size:05d}.safetensors"
        path = save.temporary / name
        try:
            described = {name: write_tensors(path, save.parts)} if save.parts or save.rank == 0 else {}
        except (OSError, RuntimeError) as error:
            path.unlink(missing_ok=True)  # so that a full disk has room for what went wrong
            _say(save, {"error": _reason(error)})
            raise
        _say(save, {"files": described})


class _Collected:
    """The tensors of a tree, each memory once, and of each what this process writes."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.parts: list[Part] = []
        self._names: dict[Any, str] = {}

    def add(self, place: str, tensor: Tensor) -> dict[str, Any]:
        local = local_tensor(tensor)
        name = place
        if local.numel():
            memory = (local.data_ptr(), tuple(tensor.shape), tuple(local.shape), local.stride(), local.dtype)
            name = self._names.setdefault(memory, place)
        if name == place and writes(tensor, self.rank):
            self.parts += [_part(name, tensor, local, piece) for piece in pieces_of(tensor)]
        return {
            "name": name,
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "sharded": is_spread(tensor),
        }


def _part(name: str, tensor: Tensor, local: Tensor, piece: Piece) -> Part:
    offsets = tuple(extent.start for extent in piece.whole)
    whole = piece.numel == math.prod(tensor.shape)
    key = name if whole else f"{name}@{','.join(map(str, offsets))}"
    return Part(key, local[piece.local], name, tuple(tensor.shape), offsets)


def make_room(save: Save, n_bytes: int) -> None:
    """Make the unfinished folder; DataError when the disk has no room for `n_bytes` or refuses."""
    try:
        save.final.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(save.final.parent).free
        if free < n_bytes + SPARE_BYTES:
            raise DataError(
                f"no room for the checkpoint {save.final}: it needs {n_bytes / 1e6:,.1f} MB and leaves "
                f"{SPARE_BYTES / 1e6:,.1f} MB for logs and small files, the disk has {free / 1e6:,.1f} MB left; free "
                "some space or lower keep_last and keep_best"
            )
        save.temporary.mkdir()
    except OSError as error:
        raise DataError(f"could not write the checkpoint {save.final}: {_reason(error)}") from error


def _publish(save: Save) -> None:
    files: dict[str, Any] = {}
    for rank in range(save.world_size):
        files |= _part_of(save, rank)
    text = json.dumps(save.state, allow_nan=False)
    write_text(save.temporary / STATE, text)
    files[STATE] = describe_file(save.temporary / STATE)
    for rank in range(save.world_size):
        _said(save, rank).unlink()
    write_manifest(save.temporary, save.facts, files)
    publish(save.temporary, save.final)
    save.after()


def _said(save: Save, rank: int) -> Path:
    return save.temporary / f"rank_{rank:05d}.json"


def _say(save: Save, what: dict[str, Any]) -> None:
    write_text(_said(save, save.rank), json.dumps(what))


def _part_of(save: Save, rank: int) -> dict[str, Any]:
    """Wait for what process `rank` says and return its files; DataError when it failed or says nothing."""
    path, until = _said(save, rank), time.monotonic() + WAIT_SECONDS
    while not path.is_file():
        if time.monotonic() > until:
            raise DataError(
                f"the part of process {rank} did not appear in {WAIT_SECONDS:.0f} s; all processes must see one folder"
            )
        time.sleep(_LOOK_EVERY_SECONDS)
        os.listdir(save.temporary)  # network file systems look again
    said = json.loads(path.read_text(encoding="utf-8"))
    if "error" in said:
        raise DataError(f"process {rank}: {said['error']}")
    return said["files"]


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
