"""One pass writes, hashes and syncs a file that the library of the format reads."""

import errno
import hashlib
import json
import os
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from prospero.checkpoints import tensor_file
from prospero.checkpoints.tensor_file import DTYPES, PIECES, Part, write_tensors


def whole(name: str, tensor: torch.Tensor) -> Part:
    return Part(name, tensor, name, tuple(tensor.shape), (0,) * tensor.dim())


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).contiguous().view(torch.uint8)


def header_of(path):
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + size]), 8 + size


def test_every_number_type_comes_back_and_lies_aligned(tmp_path):
    tensors = {word: torch.arange(6).reshape(2, 3).to(dtype) for word, dtype in DTYPES.items()}
    tensors["strided"] = torch.arange(12.0).reshape(3, 4).T[1:]
    tensors["scalar"], tensors["empty"] = torch.tensor(3.5), torch.zeros(0, 4)
    path = tmp_path / "a.safetensors"
    described = write_tensors(path, [whole(name, tensor) for name, tensor in tensors.items()])
    raw = path.read_bytes()
    assert described == {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    found = load_file(str(path))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert torch.equal(as_bytes(found[name]), as_bytes(tensor)), name
    header, start = header_of(path)
    assert start % 8 == 0
    sizes = {name: tensor.element_size() for name, tensor in tensors.items()}
    assert all(header[name]["data_offsets"][0] % sizes[name] == 0 for name in tensors)
    assert PIECES not in header["__metadata__"]


def test_a_box_of_a_tensor_says_where_it_belongs(tmp_path):
    path = tmp_path / "a.safetensors"
    box = Part("w@2,0", torch.ones(1, 3), "w", (4, 3), (2, 0))
    assert box.n_bytes == 12
    write_tensors(path, [box, whole("b", torch.zeros(2))])
    with safe_open(str(path), "pt") as file:
        assert json.loads(file.metadata()[PIECES]) == {"w@2,0": ["w", [4, 3], [2, 0]]}


def test_many_blocks_give_the_same_bytes(tmp_path, monkeypatch):
    parts = [whole("a", torch.arange(1000.0)), whole("b", torch.arange(7, dtype=torch.int8))]
    first = write_tensors(tmp_path / "one", parts)
    monkeypatch.setattr(tensor_file, "_BLOCK_BYTES", 8)
    monkeypatch.setattr(tensor_file, "_BLOCKS_AHEAD", 2)
    assert write_tensors(tmp_path / "many", parts) == first
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()


def test_a_system_that_takes_a_little_at_a_time_gets_all():
    class Slow:
        taken = b""

        def write(self, block):
            self.taken += bytes(block[:3])
            return min(3, len(block))

    slow = Slow()
    assert tensor_file._write_all(slow, memoryview(b"0123456789")) == 10
    assert slow.taken == b"0123456789"


def test_a_disk_that_refuses_is_an_error(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(tmp_path / "a", [whole("a", torch.zeros(3))])
