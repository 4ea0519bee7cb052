"""A .safetensors file written in one pass, hashed on the way; the library's own writer would need a second reading."""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
"""The format's word for each number type."""
_WORDS = {dtype: word for word, dtype in DTYPES.items()}

PIECES = "pieces"
"""Key in the header's metadata: name in the file -> [name of the tensor, its whole shape, offsets], as JSON."""
_BLOCK_BYTES = 4 * 2**20
_BLOCKS_AHEAD = 8


@dataclass(slots=True)
class Part:
    """A tensor to write under `key`: all of the tensor `name`, or the box of it that begins at `offsets`."""

    key: str
    tensor: Tensor
    name: str
    shape: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes in the file."""
        return self.tensor.numel() * self.tensor.element_size()


def write_tensors(path: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Write `parts` to `path`, make the file durable, and return its {bytes, sha256}."""
    ordered = sorted(parts, key=lambda part: (-part.tensor.element_size(), part.key))  # so that each is aligned
    header = _header(ordered)
    size = 0
    digest = hashlib.sha256()
    with ThreadPoolExecutor(1) as pool, open(path, "wb", buffering=0) as file:
        hashing: list[Future[None]] = []
        for block in _blocks(header, ordered):
            hashing.append(pool.submit(digest.update, block))
            size += _write_all(file, block)
            if len(hashing) > _BLOCKS_AHEAD:
                hashing.pop(0).result()
        os.fsync(file.fileno())
        for pending in hashing:
            pending.result()
    return {"bytes": size, "sha256": digest.hexdigest()}


def _write_all(file: Any, block: memoryview) -> int:
    done = 0
    while done < len(block):
        done += file.write(block[done:])
    return done


def _header(parts: Sequence[Part]) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    boxes = {part.key: [part.name, part.shape, part.offsets] for part in parts if part.key != part.name}
    if boxes:
        table["__metadata__"][PIECES] = json.dumps(boxes)
    position = 0
    for part in parts:
        end = position + part.n_bytes
        table[part.key] = {
            "dtype": _WORDS[part.tensor.dtype],
            "shape": list(part.tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _blocks(header: bytes, parts: Sequence[Part]) -> Iterator[memoryview]:
    yield memoryview(header)
    for part in parts:
        content: Any = part.tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        memory = memoryview(content)
        for start in range(0, len(memory), _BLOCK_BYTES):
            yield memory[start : start + _BLOCK_BYTES]
