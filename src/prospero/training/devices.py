"""The accelerators of this machine, as facts to write down."""

from typing import Any

import torch


def gpus() -> list[dict[str, Any]]:
    """Return {name, memory_bytes, cuda} of each GPU that torch can use; [] where there is none."""
    if not torch.cuda.is_available():
        return []
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [{"name": card.name, "memory_bytes": card.total_memory, "cuda": torch.version.cuda} for card in cards]


def gpu_uuid(local_rank: int) -> str:
    """Return the name by which NVIDIA's library knows the GPU of a process of this machine."""
    return f"GPU-{torch.cuda.get_device_properties(local_rank).uuid}"
