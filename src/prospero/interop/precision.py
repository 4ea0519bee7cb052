"""The type of the numbers that an export writes."""

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.interop.settings import ExportDtype


def cast(state: dict[str, Tensor], dtype: ExportDtype) -> dict[str, Tensor]:
    """Return `state` in `dtype`; ConfigError where a number is too large for it (float16 ends at 65,504)."""
    if dtype is ExportDtype.keep:
        return state
    kind = torch_dtype(dtype)
    changed = {name: tensor.to(kind) for name, tensor in state.items()}
    for name, tensor in changed.items():
        if not bool(tensor.isfinite().all()) and bool(state[name].isfinite().all()):
            raise ConfigError(f"{name} holds numbers too large for dtype={dtype.value}; use dtype=bfloat16")
    return changed


def torch_dtype(dtype: ExportDtype) -> torch.dtype:
    """Return torch's type of that name; `keep` is float32, in which models are loaded."""
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return kinds.get(dtype.value, torch.float32)
