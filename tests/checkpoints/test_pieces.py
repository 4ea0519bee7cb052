"""Which boxes of a tensor a process holds, by exact numbers; the processes are pretended."""

from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DeviceMesh, DTensor, Partial, Replicate, Shard, init_device_mesh
from torch.distributed.tensor.placement_types import _StridedShard
from torch.testing._internal.distributed.fake_pg import FakeStore

from prospero.checkpoints.pieces import local_tensor, moved, pieces_of, shared, writes


@contextmanager
def as_rank(rank, world_size):
    """Believe to be one of several processes, whose collectives do nothing."""
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def spread(shape, local, mesh, *placements):
    """A tensor of which this process holds `local`."""
    whole = torch.empty(shape, device="meta")
    return DTensor.from_local(
        torch.zeros(local), mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )


def boxes(tensor):
    """[(box in the whole, box in the part)], each box as (start, stop) along every dimension."""
    plain = [(piece.whole, piece.local) for piece in pieces_of(tensor)]
    return [tuple(tuple((extent.start, extent.stop) for extent in box) for box in both) for both in plain]


def test_a_plain_tensor_is_one_box():
    tensor = torch.zeros(2, 3, requires_grad=True)
    assert boxes(tensor) == [(((0, 2), (0, 3)), ((0, 2), (0, 3)))]
    assert pieces_of(tensor)[0].numel == 6
    assert boxes(torch.zeros(0, 3)) == []
    assert boxes(torch.tensor(1.0)) == [((), ())]
    assert local_tensor(tensor).data_ptr() == tensor.data_ptr() and not local_tensor(tensor).requires_grad
    assert writes(tensor, 0) and not writes(tensor, 1)


@pytest.mark.parametrize(("rank", "rows"), [(0, (0, 3)), (1, (3, 5))])
def test_uneven_shards(rank, rows):
    with as_rank(rank, 2):
        start, stop = rows
        tensor = spread((5, 2), (stop - start, 2), init_device_mesh("cpu", (2,)), Shard(0))
        assert boxes(tensor) == [((rows, (0, 2)), ((0, stop - start), (0, 2)))]
        assert writes(tensor, rank)


@pytest.mark.parametrize(("rank", "rows"), [(0, 1), (2, 1), (3, 0), (4, 0)])
def test_more_processes_than_rows(rank, rows):
    with as_rank(rank, 5):
        tensor = spread((3,), (rows,), init_device_mesh("cpu", (5,)), Shard(0))
        assert boxes(tensor) == ([(((rank, rank + 1),), ((0, 1),))] if rows else [])


def test_two_dimensions_of_a_mesh():
    with as_rank(2, 4):  # row 1, column 0 of the mesh
        mesh = init_device_mesh("cpu", (2, 2))
        assert boxes(spread((4, 6), (2, 3), mesh, Shard(0), Shard(1))) == [
            (((2, 4), (0, 3)), ((0, 2), (0, 3))),
        ]
        assert boxes(spread((8,), (2,), mesh, Shard(0), Shard(0))) == [(((4, 6),), ((0, 2),))]


@pytest.mark.parametrize(("rank", "held"), [(0, [(0, 2), (4, 6)]), (1, [(2, 4), (6, 8)])])
def test_strided_shards_are_several_boxes(rank, held):
    with as_rank(rank, 2):
        tensor = spread((8, 3), (4, 3), init_device_mesh("cpu", (2,)), _StridedShard(0, split_factor=2))
        assert boxes(tensor) == [
            ((held[0], (0, 3)), ((0, 2), (0, 3))),
            ((held[1], (0, 3)), ((2, 4), (0, 3))),
        ]


@pytest.mark.parametrize(("rank", "rows"), [(0, (0, 2)), (1, (4, 6)), (2, (2, 4)), (3, (6, 8))])
def test_shards_of_fsdp_over_tensor_parallel(rank, rows):
    """Tensor parallelism cuts first, though it is the second dimension of the mesh; FSDP cuts what is left."""
    with as_rank(rank, 4):
        mesh = init_device_mesh("cpu", (2, 2))
        tensor = spread((8,), (2,), mesh, _StridedShard(0, split_factor=2), Shard(0))
        assert boxes(tensor) == [((rows,), ((0, 2),))]


@pytest.mark.parametrize("rank", range(4))
def test_of_equal_parts_the_first_process_writes(rank):
    with as_rank(rank, 4):
        mesh = init_device_mesh("cpu", (2, 2))
        whole = spread((4,), (4,), mesh, Replicate(), Replicate())
        assert boxes(whole) == [(((0, 4),), ((0, 4),))]
        assert writes(whole, rank) == (rank == 0)
        half = spread((4,), (2,), mesh, Replicate(), Shard(0))
        assert writes(half, rank) == (rank in (0, 1))


def test_a_process_outside_the_mesh_holds_and_writes_nothing():
    with as_rank(1, 2):
        tensor = spread((4,), (4,), DeviceMesh("cpu", [0]), Replicate())
        assert boxes(tensor) == [] and not writes(tensor, 1)


def test_what_cannot_be_told_is_an_error():
    with as_rank(0, 2):
        mesh = init_device_mesh("cpu", (2,))
        with pytest.raises(RuntimeError, match="a sum over processes cannot be saved; reduce it first"):
            pieces_of(spread((4,), (4,), mesh, Partial()))
        with pytest.raises(RuntimeError, match=r"cannot tell which part of \(4,\) .*Shard.* this process holds"):
            pieces_of(spread((4,), (3,), mesh, Shard(0)))


def test_boxes_meet_and_move():
    a, b = (slice(0, 4), slice(2, 6)), (slice(3, 8), slice(0, 3))
    assert shared(a, b) == (slice(3, 4), slice(2, 3))
    assert shared(a, (slice(4, 8), slice(2, 6))) is None
    assert shared((), ()) == ()
    assert moved((slice(3, 4),), (slice(2, 6),), (slice(10, 14),)) == (slice(11, 12),)
