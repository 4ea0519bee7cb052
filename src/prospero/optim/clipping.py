"""The norm of all gradients together, and clipping by it (Pascanu et al. 2013, arXiv:1211.5063)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from prospero.optim.sharded import local
from prospero.spread import is_spread


@torch.no_grad()
def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float | None) -> Tensor:
    """Scale all gradients so that their common 2-norm is at most `max_norm`; return the norm before, a plain scalar.

    Gradients may be plain tensors and `DTensor`s of one or several meshes: each kind is summed over its own mesh, so
    the norm is that of one process. With `max_norm` None nothing is scaled. A norm that is not finite is returned as
    it is and the gradients are left alone, so that the caller sees it and can skip the step.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    norm = _total_norm(grads)
    if max_norm is None or (norm.device.type == "cpu" and not norm > max_norm):
        return norm
    factor = torch.where(torch.isfinite(norm), (max_norm / (norm + 1e-6)).clamp(max=1.0), 1.0)
    by_device: dict[torch.device, list[Tensor]] = {}
    for grad in grads:
        by_device.setdefault(grad.device, []).append(local(grad))
    for device, tensors in by_device.items():
        torch._foreach_mul_(tensors, factor.to(device, non_blocking=True))  # pyright: ignore[reportPrivateImportUsage]
    return norm


def _total_norm(grads: list[Tensor]) -> Tensor:
    """Return the 2-norm of all gradients, with one collective per kind of sharding."""
    kinds: dict[Any, list[Tensor]] = {}
    for grad in grads:
        kind = (grad.device_mesh, grad.placements) if is_spread(grad) else None
        kinds.setdefault((kind, grad.device), []).append(grad)
    norms = []
    for members in kinds.values():
        norm = torch.nn.utils.get_total_norm(members, foreach=None)
        norms.append(norm.full_tensor() if is_spread(norm) else norm)
    if len(norms) == 1:
        return norms[0]
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))
