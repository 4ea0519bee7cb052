"""Plain views of sharded tensors, for the arithmetic of optimisers and clipping, and sums over their parts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from prospero.spread import is_spread

if TYPE_CHECKING:
    from torch.distributed.tensor import Placement


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor, sharing its memory; a plain tensor is returned itself."""
    return tensor.to_local() if is_spread(tensor) else tensor


def local_grad(parameter: Tensor) -> Tensor:
    """Return this rank's part of the gradient, laid out as the parameter is."""
    grad = parameter.grad
    if grad is None:
        raise ValueError("the parameter has no gradient")
    if is_spread(grad) and is_spread(parameter) and grad.placements != parameter.placements:
        grad = grad.redistribute(placements=parameter.placements)
    return local(grad)


def gather(parameter: Tensor, part: Tensor) -> Tensor:
    """Return the whole of a tensor that is laid out as `parameter` is, given this rank's part of it. A collective."""
    if not is_spread(parameter):
        return part
    from torch.distributed.tensor import DTensor

    mesh, placements = parameter.device_mesh, parameter.placements
    shape, stride = parameter.shape, parameter.stride()
    return DTensor.from_local(part, mesh, placements, run_check=False, shape=shape, stride=stride).full_tensor()


def part_of(parameter: Tensor, whole: Tensor) -> Tensor:
    """Return this rank's part of a whole tensor, laid out as `parameter` is; no communication."""
    if not is_spread(parameter):
        return whole
    from torch.distributed.tensor import distribute_tensor

    whole = whole.contiguous()
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None).to_local()


def sum_along(parameter: Tensor, part: Tensor, dim: int) -> Tensor:
    """Return the sums along `dim` of a matrix laid out as `parameter` is, whole on every rank. A collective."""
    sums = part.sum(dim)
    if not is_spread(parameter):
        return sums
    from torch.distributed.tensor import DTensor, Partial

    placements = [Partial() if _cuts(p, dim) else _on_a_vector(p, 1 - dim) for p in parameter.placements]
    shape = torch.Size([parameter.shape[1 - dim]])
    mesh = parameter.device_mesh
    return DTensor.from_local(sums, mesh, placements, run_check=False, shape=shape, stride=(1,)).full_tensor()


def part_of_vector(parameter: Tensor, vector: Tensor, dim: int) -> Tensor:
    """Return what this rank needs of `vector`, which has an entry for each index of `parameter` along `dim`."""
    if not is_spread(parameter):
        return vector
    from torch.distributed.tensor import distribute_tensor

    placements = [_on_a_vector(p, dim) for p in parameter.placements]
    return distribute_tensor(vector.contiguous(), parameter.device_mesh, placements, src_data_rank=None).to_local()


def sums_of_parts(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> list[Tensor]:
    """Return, for each parameter, its ranks' `values` [k] added up over the ranks that share it. A collective.

    Parameters of one layout travel together.
    """
    results = list(values)
    kinds: dict[Any, list[int]] = {}
    for i, p in enumerate(parameters):
        if is_spread(p):
            kinds.setdefault((p.device_mesh, p.placements, values[i].device), []).append(i)
    if not kinds:
        return results
    from torch.distributed.tensor import DTensor, Partial, Replicate

    for (mesh, placements, _), members in kinds.items():
        summed = [Partial() if _cuts(p) else Replicate() for p in placements]
        together = DTensor.from_local(torch.stack([values[i] for i in members]), mesh, summed, run_check=False)
        for i, value in zip(members, together.full_tensor()):
            results[i] = value
    return results


def _cuts(placement: "Placement", dim: int | None = None) -> bool:
    """Whether `placement` cuts a tensor (along `dim`), also a dimension that tensor parallelism has cut before.

    That second kind of cut, which FSDP2 then makes, is no `Shard` to torch, and its `is_shard` says False.
    """
    from torch.distributed.tensor import Shard

    cut: Any = placement
    where = cut.dim if isinstance(placement, Shard) or hasattr(placement, "split_factor") else None
    return where is not None if dim is None else where == dim


def _on_a_vector(placement: "Placement", dim: int) -> "Placement":
    """Return how a vector along dimension `dim` of a tensor with `placement` is laid out."""
    from torch.distributed.tensor import Replicate, Shard

    if not _cuts(placement, dim):
        return Replicate()
    cut: Any = placement
    return type(cut)(0, split_factor=cut.split_factor) if hasattr(cut, "split_factor") else Shard(0)
