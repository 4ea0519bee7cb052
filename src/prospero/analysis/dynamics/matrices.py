"""Numbers that describe one matrix: how long it is, how many directions it uses, how evenly its entries are spread.

Shapes: M rows, N columns, R = min(M, N) singular values.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixNumbers:
    """What is said of one matrix."""

    frobenius_norm: float
    """Square root of the sum of the squares of its entries."""
    spectral_norm: float
    """Its greatest singular value."""
    effective_rank: float
    """exp of the entropy of its singular values, from 1 to R."""
    condition_number: float
    """Greatest by smallest singular value; infinite where that is 0."""
    gini: float
    """Inequality of the sizes of its entries, from 0 (all alike) to 1 - 1/(M N) (only one is not 0)."""
    hoyer: float
    """Sparsity by norms, from 0 (all alike) to 1 (only one is not 0)."""


def matrix_numbers(matrix: Tensor) -> MatrixNumbers:
    """Return the numbers of `matrix` [M, N], of which no entry may be infinite or NaN."""
    return numbers_of(singular_values(matrix), matrix)


def numbers_of(values: Tensor, entries: Tensor) -> MatrixNumbers:
    """Return the numbers of a matrix of which singular `values` [R] and `entries` are known."""
    return MatrixNumbers(
        frobenius_norm=float(torch.linalg.vector_norm(values)),
        spectral_norm=float(values[0]) if len(values) else 0.0,
        effective_rank=effective_rank(values),
        condition_number=condition_number(values),
        gini=gini(entries),
        hoyer=hoyer(entries),
    )


def singular_values(matrix: Tensor) -> Tensor:
    """Return the singular values [R] of `matrix` [M, N], the greatest first, in float32 or better."""
    return torch.linalg.svdvals(matrix.detach().to(torch.promote_types(matrix.dtype, torch.float32)))


def effective_rank(values: Tensor) -> float:
    """Return exp(-sum p ln p) with p = values / sum(values), for singular `values`; 0 where all are 0.

    Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO.
    """
    total = values.double().sum()
    if total == 0:
        return 0.0
    shares = values.double() / total
    return float(torch.special.entr(shares).sum().exp())


def condition_number(values: Tensor) -> float:
    """Return the greatest by the smallest of singular `values`; infinite where the smallest is 0, NaN where all are."""
    if not len(values) or values[0] == 0:
        return float("nan")
    return float(values[0].double() / values[-1].double())


def gini(entries: Tensor) -> float:
    """Return the Gini index of the sizes of `entries`; NaN where all are 0.

    1 - 2 sum_k (c_k / |c|_1) (n - k + 1/2) / n, with the sizes c in rising order and k from 1: equation 4 of Hurley and
    Rickard 2009, "Comparing measures of sparsity", arXiv:0811.4706.
    """
    sizes = entries.detach().abs().flatten().sort().values.double()
    n, total = len(sizes), sizes.sum()
    if n == 0 or total == 0:
        return float("nan")
    above = torch.arange(n, 0, -1, dtype=torch.float64, device=sizes.device) - 0.5
    return float(1 - 2 * (sizes / total * above / n).sum())


def hoyer(entries: Tensor) -> float:
    """Return Hoyer's sparsity (sqrt(n) - |c|_1 / |c|_2) / (sqrt(n) - 1) of `entries`; NaN where all are 0, or n is 1.

    Hoyer 2004, "Non-negative matrix factorization with sparseness constraints", JMLR 5; compared with others by Hurley
    and Rickard 2009.
    """
    sizes = entries.detach().abs().flatten().double()
    n, length = len(sizes), torch.linalg.vector_norm(sizes)
    if n < 2 or length == 0:
        return float("nan")
    return float((n**0.5 - sizes.sum() / length) / (n**0.5 - 1))


def update_to_weight(before: Tensor, after: Tensor) -> float:
    """Return |after - before| / |before| by Frobenius norms, NaN where `before` is 0.

    Between two neighbouring steps it is the update-to-weight ratio, of which about 1e-3 is usual for AdamW; between
    checkpoints further apart it says how far the weights have gone as the crow flies.
    """
    length = torch.linalg.vector_norm(before.detach().double())
    moved = torch.linalg.vector_norm(after.detach().double() - before.detach().double())
    return float(moved / length) if length > 0 else float("nan")
