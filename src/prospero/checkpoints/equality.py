"""Two sets of weights, bit for bit: one hash of each, and where they differ by how much."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from prospero.runs.repetition.digits import WeightsCompared

if TYPE_CHECKING:
    from prospero.checkpoints.reading import StoredTensor


def compare_weights(
    what: str, then: "Mapping[str, StoredTensor]", now: "Mapping[str, StoredTensor]"
) -> WeightsCompared:
    """Compare two sets of tensors, called `what`; two tensors are in memory at a time. DataError for a damaged one."""
    hashes, differing, largest = (hashlib.sha256(), hashlib.sha256()), [], 0.0
    for name in sorted({*then, *now}):
        before, after = (stored[name].whole() if name in stored else None for stored in (then, now))
        contents = _content(name, before), _content(name, after)
        for total, content in zip(hashes, contents):
            total.update(content)
        if contents[0] == contents[1]:
            continue
        differing.append(name)
        if before is not None and after is not None and before.shape == after.shape and before.numel():
            largest = max(largest, (before.double() - after.double()).abs().max().item())
    return WeightsCompared(what, len(then), hashes[0].hexdigest(), hashes[1].hexdigest(), differing, largest)


def _content(name: str, tensor: torch.Tensor | None) -> bytes:
    """Return what of a tensor goes into the hash; nothing where there is none."""
    if tensor is None:
        return b""
    head = f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode()
    return head + hashlib.sha256(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).digest()
