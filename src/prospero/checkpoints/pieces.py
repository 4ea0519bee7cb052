"""Which part of a whole tensor a process holds, for every layout of a DTensor, uneven and strided ones included."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from prospero.spread import is_spread

Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of the whole tensor, and where it lies in the process's own tensor."""

    whole: Box
    local: Box

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(extent.stop - extent.start for extent in self.whole)


def local_tensor(tensor: Tensor) -> Tensor:
    """Return what this process holds of `tensor`, sharing its memory."""
    if is_spread(tensor):
        with torch.no_grad():
            return tensor.to_local()
    return tensor.detach()


def pieces_of(tensor: Tensor) -> list[Piece]:
    """Return the boxes this process holds of `tensor`; one for a plain tensor, none for an empty part."""
    if not is_spread(tensor):
        box = tuple(slice(0, size) for size in tensor.shape)
        return [Piece(box, box)] if tensor.numel() else []
    coordinate = tensor.device_mesh.get_coordinate()
    if coordinate is None:
        return []
    runs = [
        _runs(_positions(size, dim, tensor.device_mesh.shape, coordinate, tensor.placements))
        for dim, size in enumerate(tensor.shape)
    ]
    found = [Piece(tuple(r[0] for r in combined), tuple(r[1] for r in combined)) for combined in product(*runs)]
    if sum(piece.numel for piece in found) != local_tensor(tensor).numel():
        raise RuntimeError(f"cannot tell which part of {tuple(tensor.shape)} {tensor.placements} this process holds")
    return [piece for piece in found if piece.numel]


def writes(tensor: Tensor, rank: int) -> bool:
    """Whether this process writes its part: of processes that hold the same, the first of each mesh dimension does."""
    if not is_spread(tensor):
        return rank == 0
    coordinate = tensor.device_mesh.get_coordinate()
    return coordinate is not None and all(
        place == 0 for place, placement in zip(coordinate, tensor.placements) if placement.is_replicate()
    )


def shared(a: Box, b: Box) -> Box | None:
    """Return the box that lies in both, or None."""
    both = tuple(slice(max(x.start, y.start), min(x.stop, y.stop)) for x, y in zip(a, b))
    return both if all(extent.start < extent.stop for extent in both) else None


def moved(box: Box, origin: Box, target: Box) -> Box:
    """Return `box`, given in the coordinates in which `origin` is `target`'s place, in those of `target`."""
    return tuple(slice(x.start - o.start + t.start, x.stop - o.start + t.start) for x, o, t in zip(box, origin, target))


def _positions(size: int, dim: int, mesh: Sequence[int], coordinate: Sequence[int], placements: Any) -> Tensor:
    """Return the indices along `dim` that the process at `coordinate` holds, in the order in which it holds them."""
    held = torch.arange(size)
    for processes, place, placement in zip(mesh, coordinate, placements):
        if placement.is_partial():
            raise RuntimeError("a tensor that is a sum over processes cannot be saved; reduce it first")
        if getattr(placement, "dim", None) == dim:
            held = _along_one_dimension(placement)._split_tensor(held, processes, with_padding=False)[0][place]
    return held


def _along_one_dimension(placement: Any) -> Any:
    """Return the placement as it acts on a vector."""
    from torch.distributed.tensor import Shard

    if hasattr(placement, "split_factor"):
        return type(placement)(0, split_factor=placement.split_factor)
    return Shard(0)


def _runs(held: Tensor) -> list[tuple[slice, slice]]:
    """Return the stretches of consecutive indices as (place in the whole, place in the part)."""
    if not len(held):
        return [(slice(0, 0), slice(0, 0))]
    starts = [0, *(torch.nonzero(held[1:] != held[:-1] + 1).flatten() + 1).tolist(), len(held)]
    return list(_stretches(held, starts))


def _stretches(held: Tensor, starts: list[int]) -> Iterator[tuple[slice, slice]]:
    for start, stop in pairwise(starts):
        first = int(held[start])
        yield slice(first, first + stop - start), slice(start, stop)
