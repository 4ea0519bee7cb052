"""Random tokens said again and again, and how a head attends on them (Olsson et al. 2022, arXiv:2209.11895).

A row is a period of P random tokens, R times. From the second time on everything can be told in advance, and only by
what stands in the row. A head of induction finds the earlier occurrence of the present token and attends to what came
after it.

Shapes: B rows, N heads, T = R P places, V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def repeated_rows(allowed: Sequence[int], period: int, repeats: int, seed: int, items: Sequence[int]) -> Tensor:
    """Return rows [len(items), repeats * period] of ids out of `allowed`; a row depends on the seed and its item alone.

    No token comes twice in a period, where there are enough of them, so that each earlier occurrence is the only one.
    """
    ids = np.asarray(allowed, dtype=np.int64)
    rows = []
    for item in items:
        generator = np.random.default_rng([seed, item])
        drawn = generator.choice(ids, size=period, replace=len(ids) < period)
        rows.append(np.tile(drawn, repeats))
    return torch.from_numpy(np.stack(rows))


def induction_score(weights: Tensor, period: int) -> Tensor:
    """Return each head's mean attention, in the second period, on the token after the earlier occurrence: [B, N].

    `weights` are [B, N, T, T]; of a query at place t that key is t - period + 1.
    """
    scores = weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)  # [B, N, T - P + 1]: query P - 1 first
    return scores[..., 1 : period + 1].mean(dim=-1)


def prefix_matching(weights: Tensor, period: int) -> Tensor:
    """Return each head's mean attention, from the second period on, on what came after any earlier occurrence: [B, N].

    The prefix-matching score of Olsson et al.; with two periods it is the induction score.
    """
    time = weights.shape[-1]
    query = torch.arange(time, device=weights.device)[:, None]
    key = torch.arange(time, device=weights.device)[None, :]
    wanted = ((query - key + 1) % period == 0) & (key >= 1) & (key <= query - period + 1)
    return (weights * wanted).sum(dim=-1)[..., period:].mean(dim=-1)


def uniform_induction(period: int) -> float:
    """Return the induction score of a head that attends to all it sees alike."""
    return float(np.mean([1 / (place + 1) for place in range(period, 2 * period)]))
