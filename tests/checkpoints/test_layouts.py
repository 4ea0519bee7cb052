"""What is saved in one layout comes back in every other, each process reading its part; no process group is needed."""

import math
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.testing._internal.distributed.fake_pg import FakeStore

from prospero.checkpoints import FolderWriter, laid_out_like, read_folder
from prospero.checkpoints.folders import unfinished
from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.pieces import local_tensor
from prospero.errors import DataError
from prospero.model.transformer import TransformerConfig
from prospero.training.layout import Layout
from prospero.training.parallel import parallelize

LAYOUTS = {
    "warm": (1, Layout()),
    "one": (1, Layout()),
    "fsdp2": (2, Layout(shards=2)),
    "fsdp5": (5, Layout(shards=5)),  # 3 of 32 rows too few: uneven and empty parts
    "hsdp": (4, Layout(replicas=2, shards=2)),
    "tensor_parallel": (2, Layout(tensor_parallel=2)),
    "two_dimensions": (4, Layout(shards=2, tensor_parallel=2)),
}


def in_rank(rank: int, world_size: int, work: Callable[[], None]) -> None:
    """Do `work` in a forked process that believes to be one of several, whose collectives do nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
            work()
        except BaseException:
            os.write(writer, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    assert not said, said


def model_of(name: str) -> dict[str, Tensor]:
    """The tensors of the same model, spread as `name` says, filled with what torch says that this process holds."""
    torch.manual_seed(0)
    config = TransformerConfig(n_layers=1, d_model=16, n_heads=4, tie_embeddings=False)
    model = config.build(vocab_size=26, max_seq_len=8)
    whole = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    layout = LAYOUTS[name][1]
    if dist.is_initialized() and name != "one":
        parallelize(model, layout.mesh("cpu"))
    state = model.state_dict()
    for key, tensor in state.items():
        if isinstance(tensor, DTensor):
            mesh, placements = tensor.device_mesh, tensor.placements
            shape, offset = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
            box = tuple(slice(o, o + size) for o, size in zip(offset, shape))
            tensor.to_local().copy_(whole[key][box])
    return state


def save_as(name: str, final: Path) -> None:
    """Write the same model from every process of a layout, the first one last, as it waits for the others."""
    world_size = LAYOUTS[name][0]
    temporary = unfinished(final)
    temporary.mkdir()
    for rank in reversed(range(world_size)):

        def write(rank: int = rank) -> None:
            writer = FolderWriter()
            save = writer.take({"state": model_of(name)}, final, rank=rank, world_size=world_size)
            save.temporary = temporary
            writer.write(save)

        in_rank(rank, world_size, write)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    model_of("warm")  # the forked processes then need not import
    dist.destroy_process_group()
    place = tmp_path_factory.mktemp("layouts")
    for name in LAYOUTS:
        if name != "warm":
            save_as(name, place / name)
    return {name: place / name for name in LAYOUTS if name != "warm"}


@pytest.mark.heavy
@pytest.mark.parametrize("target", [name for name in LAYOUTS if name != "warm"])
def test_every_layout_goes_on_from_every_other(saved, target):
    def compare() -> None:
        expected = model_of(target)
        for source, folder in saved.items():
            verify_folder(folder)
            state = laid_out_like(read_folder(folder)["state"], expected)
            assert state.keys() == expected.keys()
            for name, tensor in state.items():
                assert isinstance(tensor, DTensor) == isinstance(expected[name], DTensor)
                assert torch.equal(local_tensor(tensor), local_tensor(expected[name])), (source, name)

    for rank in range(LAYOUTS[target][0]):
        in_rank(rank, LAYOUTS[target][0], compare)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "warm"])
def test_what_several_processes_hold_is_written_once(saved, name):
    written = sum(math.prod(shape) for path in saved[name].glob("*.safetensors") for shape in shapes(path))
    assert written == sum(t.numel() for t in model_of("one").values())


def shapes(path: Path) -> list[list[int]]:
    with safe_open(str(path), framework="pt") as file:
        return [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118 - not a dict


def test_only_the_part_that_is_needed_is_read(saved):
    def read() -> None:
        mesh = init_device_mesh("cpu", (2,))
        stored = read_folder(saved["fsdp2"])["state"]["blocks.0.feed_forward.up.weight"]
        whole = stored.whole()
        target = distribute_tensor(torch.zeros(stored.shape), mesh, [Shard(0)], src_data_rank=None)
        everywhere = distribute_tensor(torch.zeros(stored.shape), mesh, [Replicate()], src_data_rank=None)
        assert torch.equal(stored.like(everywhere).to_local(), whole)
        with pytest.raises(DataError, match=r"has the saved shape .*, here it is \[3\]"):
            stored.like(torch.zeros(3))
        stored._pieces[0] = replace(stored._pieces[0], file=None)  # the other process's part: not to be touched
        assert torch.equal(stored.like(target).to_local(), whole[len(target.to_local()) :])
        del stored._pieces[1]
        with pytest.raises(DataError, match="the checkpoint lacks a part of 'state/blocks"):
            stored.like(target)

    in_rank(1, 2, read)
