"""The nearest (semi-)orthogonal matrix by Newton-Schulz iteration, for many matrices of one shape at once.

The method is that of Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; `torch.optim.Muon`): a
quintic polynomial, applied five times, drives every singular value near 1. Equal shapes go through as one batch, which
saves an accelerator many small launches; on a CPU the products themselves are the cost.
"""

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_EPS = 1e-7
_MAX_BATCH_ELEMENTS = 2**26  # 128 MB in bfloat16; bounds the copies made of a large model's matrices


class ProductType(Enum):
    """The number format of the iteration's matrix products."""

    auto = "auto"
    bfloat16 = "bfloat16"
    float32 = "float32"


def product_dtype(choice: ProductType, device: torch.device) -> torch.dtype:
    """Return the dtype of the products; auto, in a run in bfloat16, is bfloat16 where the processor has it."""
    if choice is not ProductType.auto:
        return torch.bfloat16 if choice is ProductType.bfloat16 else torch.float32
    if device.type == "cpu":
        # A fact of the processor, not a measurement, so that the same machine gives the same run every time.
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        known = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
        return torch.bfloat16 if known else torch.float32
    return torch.bfloat16


def orthogonalize(matrices: Sequence[Tensor], steps: int, dtype: torch.dtype) -> list[Tensor]:
    """Return the orthogonal factor of each matrix [rows, columns], in `dtype`; equal shapes go together."""
    by_shape: dict[tuple[int, int, torch.device], list[int]] = {}
    for i, matrix in enumerate(matrices):
        short, long = sorted(matrix.shape)
        by_shape.setdefault((short, long, matrix.device), []).append(i)
    results: list[Tensor] = list(matrices)
    for (short, long, _), members in by_shape.items():
        size = max(1, _MAX_BATCH_ELEMENTS // (short * long))
        for start in range(0, len(members), size):
            some = members[start : start + size]
            stacked = torch.stack([_short_first(matrices[i]).to(dtype) for i in some])
            for i, result in zip(some, _iterate(stacked, steps)):
                results[i] = result if matrices[i].shape[0] <= matrices[i].shape[1] else result.T
    return results


def _short_first(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _iterate(x: Tensor, steps: int) -> Tensor:
    """Apply X <- a X + (b X X^T + c (X X^T)^2) X, `steps` times, to a batch [n, short, long]."""
    a, b, c = COEFFICIENTS
    # The Frobenius norm bounds the spectral norm, so that every singular value starts at most at 1.
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True, dtype=torch.float32).clamp(min=_EPS).to(x.dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
