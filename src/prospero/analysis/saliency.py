"""How much each token of a text contributed to a number that a model computes from the text: three answers.

- Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365): the gradient, averaged along the straight line from
  a baseline to the text's embeddings, times the way. They add up to the difference of the two numbers (completeness).
- Gradient x input (Shrikumar et al. 2016, arXiv:1605.01713): the gradient at the text alone, times the same way. It is
  the linear model's answer; where the number is linear in the embeddings, both are equal.
- Leave one out (Li et al. 2016, arXiv:1612.08220): what the number loses when one token's embedding becomes the
  baseline's. It is the effect itself, of one token at a time.

Shapes: S variants of a text side by side, T tokens, E width of the token embedding.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""Embeddings [S, T, E] -> the number that is explained, [S]; each variant by itself."""


def integrated_gradients(score: Score, x: Tensor, baseline: Tensor, *, steps: int, rows: int = 16) -> Tensor:
    """Return the contribution of each token [T] to score(x) - score(baseline), for x and baseline [T, E].

    The integral is Gauss and Legendre's sum of `steps` gradients (exact for polynomials of degree 2 steps - 1), `rows`
    of them computed side by side.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    places, weights = (nodes + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
    way, total = x - baseline, torch.zeros_like(x, dtype=torch.float64)
    for start in range(0, steps, rows):
        some = torch.as_tensor(places[start : start + rows], dtype=x.dtype, device=x.device)
        share = torch.as_tensor(weights[start : start + rows], dtype=torch.float64, device=x.device)
        grads = gradients(score, baseline + some.view(-1, 1, 1) * way)
        total += torch.einsum("s,ste->te", share, grads.double())
    return (total * way.double()).sum(dim=-1)


def gradient_times_input(score: Score, x: Tensor, baseline: Tensor) -> Tensor:
    """Return the gradient at x times (x - baseline), summed over the width, [T]."""
    return (gradients(score, x.unsqueeze(0))[0].double() * (x - baseline).double()).sum(dim=-1)


def gradients(score: Score, points: Tensor) -> Tensor:
    """Return the gradient of each variant's score at points [S, T, E], of the same shape; no parameter gets one."""
    with torch.inference_mode(False), torch.enable_grad():
        points = points.detach().clone().requires_grad_()
        (grads,) = torch.autograd.grad(score(points).sum(), points)
    return grads


@torch.no_grad()
def leave_one_out(score: Score, x: Tensor, baseline: Tensor, *, rows: int = 16) -> Tensor:
    """Return score(x) - score(x with token t at the baseline) for each token t, [T]."""
    whole, found = score(x.unsqueeze(0)), []
    for start in range(0, len(x), rows):
        left_out = torch.arange(start, min(start + rows, len(x)), device=x.device)
        variants = x.repeat(len(left_out), 1, 1)
        variants[torch.arange(len(left_out), device=x.device), left_out] = baseline[left_out]
        found.append(whole - score(variants))
    return torch.cat(found).double()


@torch.no_grad()
def loss_of_top(score: Score, x: Tensor, baseline: Tensor, ranked: Tensor, counts: list[int]) -> Tensor:
    """Return score(x) - score(x with the first k tokens of `ranked` [T] at the baseline), one for each k in `counts`.

    How much is lost without the tokens that a method ranks first is its comprehensiveness (DeYoung et al. 2020,
    arXiv:1911.03429).
    """
    variants = x.repeat(len(counts), 1, 1)
    for row, count in enumerate(counts):
        variants[row, ranked[:count]] = baseline[ranked[:count]]
    return (score(x.unsqueeze(0)) - score(variants)).double()
