"""A tree of Python values as JSON: exact, closed, and with tensors left out as references.

What JSON does not have is written as a table with one key that begins with `$`: `$tuple`, `$table` (keys that are no
plain words), `$float` (nan, inf), `$bytes`, `$dtype`, `$array` and `$tensor`. Anything else is refused when it is
saved, so nothing needs to be executed when it is loaded.
"""

import math
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.errors import DataError

OnTensor = Callable[[str, Tensor], dict[str, Any]]
TensorOf = Callable[[dict[str, Any]], Any]


def encode(value: Any, on_tensor: OnTensor, place: str = "") -> Any:
    """Return `value` as JSON's values; `on_tensor(place, tensor)` stores a tensor and returns what refers to it."""
    if value is None or (isinstance(value, bool | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Tensor):
        return {"$tensor": on_tensor(place, value)}
    if isinstance(value, Enum):
        return encode(value.value, on_tensor, place)
    if isinstance(value, int | np.integer | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, Mapping):
        return _encode_table(value, on_tensor, place)
    if isinstance(value, list | tuple | set | frozenset):
        items = [encode(item, on_tensor, f"{place}/{i}") for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    return _encode_rest(value, on_tensor, place)


def decode(node: Any, tensor_of: TensorOf) -> Any:
    """Return the value that `encode` wrote; `tensor_of` gives the tensor of a reference."""
    if isinstance(node, list):
        return [decode(item, tensor_of) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        (kind, content), *_ = node.items()
        if kind.startswith("$"):
            return _decode_special(kind, content, tensor_of)
    return {name: decode(item, tensor_of) for name, item in node.items()}


def _encode_table(table: Mapping[Any, Any], on_tensor: OnTensor, place: str) -> Any:
    inner = {key: encode(item, on_tensor, f"{place}/{key}" if place else str(key)) for key, item in table.items()}
    if all(type(key) is str and not key.startswith("$") for key in inner):
        return inner
    return {"$table": [[encode(key, on_tensor, place), item] for key, item in inner.items()]}


def _encode_rest(value: Any, on_tensor: OnTensor, place: str) -> Any:
    if isinstance(value, bytes | bytearray):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"$array": [value.dtype.str, list(value.shape), value.tobytes().hex()]}
    if isinstance(value, torch.dtype):
        return {"$dtype": str(value).removeprefix("torch.")}
    if isinstance(value, Path | torch.device):
        return str(value)
    raise DataError(
        f"the value '{place}' of type {type(value).__name__} cannot be saved; checkpoints hold tensors and plain values"
    )


def _decode_special(kind: str, content: Any, tensor_of: TensorOf) -> Any:
    if kind == "$tensor":
        return tensor_of(content)
    if kind == "$tuple":
        return tuple(decode(item, tensor_of) for item in content)
    if kind == "$table":
        return {decode(key, tensor_of): decode(item, tensor_of) for key, item in content}
    if kind == "$float":
        return float(content)
    if kind == "$bytes":
        return bytes.fromhex(content)
    if kind == "$array":
        return np.frombuffer(bytes.fromhex(content[2]), np.dtype(content[0])).reshape(content[1]).copy()
    if kind == "$dtype" and isinstance(getattr(torch, content, None), torch.dtype):
        return getattr(torch, content)
    raise DataError(f"a saved value is of the unknown kind '{kind}'; the file is of another version of Prospero")
