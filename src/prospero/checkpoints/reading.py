"""Reading a folder: the tree of values, and of each tensor only the part that is asked for."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prospero.checkpoints.pieces import Box, local_tensor, moved, pieces_of, shared
from prospero.checkpoints.plain_tree import decode
from prospero.checkpoints.tensor_file import DTYPES, PIECES
from prospero.errors import DataError
from prospero.spread import is_spread

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

STATE = "state.json"


@dataclass(frozen=True, slots=True)
class _StoredPiece:
    file: Any
    key: str
    box: Box


class StoredTensor:
    """A tensor of a folder, not yet read: `whole()` on the CPU, or `like(target)` as another tensor is laid out."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, pieces: list[_StoredPiece]) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype
        self._pieces = pieces

    def __repr__(self) -> str:
        return f"StoredTensor({self.name}, {list(self.shape)}, {self.dtype})"

    @property
    def n_bytes(self) -> int:
        """Bytes of all of it."""
        return math.prod(self.shape) * self.dtype.itemsize

    def whole(self) -> Tensor:
        """Return all of it as a CPU tensor."""
        result = torch.empty(self.shape, dtype=self.dtype)
        everything = tuple(slice(0, size) for size in self.shape)
        self._read(result, everything, everything)
        return result

    def like(self, target: Tensor) -> Tensor:
        """Return it with the device, mesh and placements of `target`, reading only what this process holds of it.

        Raises DataError when the shapes differ. Nothing is communicated.
        """
        if tuple(target.shape) != self.shape:
            raise DataError(f"'{self.name}' has the saved shape {list(self.shape)}, here it is {list(target.shape)}")
        if not is_spread(target):
            return self.whole().to(target.device)
        local = torch.empty(local_tensor(target).shape, dtype=self.dtype)
        for piece in pieces_of(target):
            self._read(local, piece.whole, piece.local)
        return _as_part_of(local.to(target.device), target)

    def _read(self, into: Tensor, wanted: Box, place: Box) -> None:
        """Fill the box `place` of `into` with the box `wanted` of the whole."""
        found = 0
        for piece in self._pieces:
            box = shared(piece.box, wanted)
            if box is None:
                continue
            origin = tuple(slice(0, extent.stop - extent.start) for extent in piece.box)
            inside = moved(box, piece.box, origin)
            if inside == origin:
                values = piece.file.get_tensor(piece.key)
            else:
                values = piece.file.get_slice(piece.key)[inside]
            into[moved(box, wanted, place)].copy_(values)
            found += values.numel()
        if found != math.prod(extent.stop - extent.start for extent in wanted):
            raise DataError(f"the checkpoint lacks a part of '{self.name}'")


def read_folder(folder: Path, lazy: Callable[[str], bool] = lambda name: False) -> dict[str, Any]:
    """Return the tree of values saved in `folder`, whose files the caller has verified.

    Tensors come as CPU tensors; those saved in parts, and those whose name `lazy` picks, as StoredTensor.
    """
    text = _read_json(folder / STATE)
    tensors = read_tensors(folder)

    def tensor_of(reference: dict[str, Any]) -> Any:
        name = reference["name"]
        stored = tensors.get(name)
        if stored is None and math.prod(reference["shape"]):
            raise DataError(f"{folder} lacks the tensor '{name}'")
        if stored is None:
            stored = StoredTensor(name, tuple(reference["shape"]), getattr(torch, reference["dtype"]), [])
        return stored if reference["sharded"] or lazy(name) else stored.whole()

    return decode(text, tensor_of)


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a folder by name; nothing of them is read yet."""
    return _tensors_in(sorted(folder.glob("tensors_*.safetensors")))


def tensors_of_file(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a .safetensors file by name; nothing of them is read yet."""
    return _tensors_in([path])


def _tensors_in(paths: list[Path]) -> dict[str, StoredTensor]:
    found: dict[str, tuple[tuple[int, ...], torch.dtype, list[_StoredPiece]]] = {}
    for path in paths:
        file = _opened(path)
        parts = json.loads((file.metadata() or {}).get(PIECES, "{}"))
        for key in file.keys():  # noqa: SIM118 - not a dict
            header = file.get_slice(key)
            size = header.get_shape()
            name, shape, offsets = parts.get(key) or (key, size, [0] * len(size))
            box = tuple(slice(o, o + s) for o, s in zip(offsets, size))
            if name not in found:
                found[name] = (tuple(shape), DTYPES[header.get_dtype()], [])
            found[name][2].append(_StoredPiece(file, key, box))
    return {name: StoredTensor(name, *facts) for name, facts in found.items()}


def laid_out_like(state: Any, like: Any) -> Any:
    """Return `state` (nested dicts of tensors) with every tensor as the one of the same name in `like` is laid out.

    Takes whole CPU tensors and StoredTensors. What `like` does not have stays, as a whole tensor. No communication.
    """
    if isinstance(state, Mapping):
        known = like if isinstance(like, Mapping) else {}
        return {name: laid_out_like(value, known.get(name)) for name, value in state.items()}
    if isinstance(state, StoredTensor):
        return state.like(like) if isinstance(like, Tensor) else state.whole()
    if not isinstance(state, Tensor) or not isinstance(like, Tensor) or tuple(state.shape) != tuple(like.shape):
        return state
    if not is_spread(like):
        return state.to(like.device)
    local = torch.empty(local_tensor(like).shape, dtype=state.dtype, device=state.device)
    for piece in pieces_of(like):
        local[piece.local].copy_(state[piece.whole])
    return _as_part_of(local.to(like.device), like)


def _as_part_of(local: Tensor, target: "DTensor") -> "DTensor":
    from torch.distributed import tensor

    return tensor.DTensor.from_local(
        local, target.device_mesh, target.placements, run_check=False, shape=target.shape, stride=target.stride()
    )


def _opened(path: Path) -> Any:
    try:
        return safe_open(str(path), framework="pt").__enter__()  # closed when the last tensor that reads it goes
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]})") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error})") from error
