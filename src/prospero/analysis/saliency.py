"""How much each token of a text contributed to a number that a model computes from the text: three answers.

- Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365): the gradient, averaged along the straight line from
  a baseline to the text's embeddings, times the way. They add up to the difference of the two numbers (completeness).
- Gradient x input (Shrikumar et al. 2016, arXiv:1605.01713): the gradient at the text alone, times the same way. It is
  the linear model's answer; where the number is linear in the embeddings, both are equal.
- Leave one out (Li et al. 2016, arXiv:1612.08220): what the number loses when one token's embedding becomes the
  baseline's. It is the effect itself, of one token at a time.

Shapes: S variants of a text side by side, T tokens, E width of the token embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""Embeddings [S, T, E] -> the number that is explained, [S]; each variant by itself."""
NODES = 8
"""Gradients in a piece of the line: exact for polynomials of degree 15."""


@dataclass(frozen=True, slots=True)
class PathIntegral:
    """Integrated gradients, and how exactly they add up."""

    contributions: Tensor
    """Of each token, float64 [T]."""
    difference: float
    """score(x) - score(baseline), which they add up to."""
    steps: int
    """Gradients that were computed."""

    @property
    def gap(self) -> float:
        """Their sum minus the difference: what the quadrature got wrong."""
        return float(self.contributions.sum()) - self.difference


def integrated_gradients(score: Score, x: Tensor, baseline: Tensor, *, steps: int, tolerance: float) -> PathIntegral:
    """Return the contribution of each token to score(x) - score(baseline), for x and baseline [T, E].

    The line is cut into pieces, each integrated by `NODES` gradients (Gauss and Legendre's sum). A piece's
    contributions must add up to what the score gains along it, so its error is known: the worst piece is halved until
    all errors together are below `tolerance`, or `steps` gradients are spent. A fixed grid fails where a norm meets a
    baseline of zeros: nearly all of the change then lies in the first hundredth of the way.
    """
    ends = _at(score, x, baseline, [0.0, 1.0])
    pieces, used = [_piece(score, x, baseline, (0.0, 1.0), ends)], NODES
    while sum(piece.error for piece in pieces) > tolerance and used + 2 * NODES <= steps:
        worst = max(pieces, key=lambda piece: piece.error)
        pieces.remove(worst)
        middle = (worst.start + worst.stop) / 2
        (score_there,) = _at(score, x, baseline, [middle])
        pieces.append(_piece(score, x, baseline, (worst.start, middle), (worst.scores[0], score_there)))
        pieces.append(_piece(score, x, baseline, (middle, worst.stop), (score_there, worst.scores[1])))
        used += 2 * NODES
    contributions = torch.stack([piece.contributions for piece in pieces]).sum(dim=0)
    return PathIntegral(contributions, ends[1] - ends[0], used)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the line from the baseline to the text."""

    start: float
    stop: float
    scores: Sequence[float]
    """At its two ends."""
    contributions: Tensor
    """float64 [T]."""

    @property
    def error(self) -> float:
        return abs(float(self.contributions.sum()) - (self.scores[1] - self.scores[0]))


def _piece(score: Score, x: Tensor, baseline: Tensor, ends: tuple[float, float], scores: Sequence[float]) -> _Piece:
    start, stop = ends
    nodes, weights = np.polynomial.legendre.leggauss(NODES)  # of [-1, 1]
    places = torch.as_tensor(start + (nodes + 1) / 2 * (stop - start), dtype=x.dtype, device=x.device)
    shares = torch.as_tensor(weights / 2 * (stop - start), dtype=torch.float64, device=x.device)
    grads = gradients(score, baseline + places.view(-1, 1, 1) * (x - baseline))
    along = (grads.double() * (x - baseline).double()).sum(dim=-1)  # [S, T]
    return _Piece(start, stop, scores, shares @ along)


@torch.no_grad()
def _at(score: Score, x: Tensor, baseline: Tensor, places: Sequence[float]) -> list[float]:
    """Return the score at shares `places` of the way, in one call: rounding then is the same for all."""
    shares = torch.as_tensor(places, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    return score(baseline + shares * (x - baseline)).double().tolist()


def gradient_times_input(score: Score, x: Tensor, baseline: Tensor) -> Tensor:
    """Return the gradient at x times (x - baseline), summed over the width, [T]."""
    return (gradients(score, x.unsqueeze(0))[0].double() * (x - baseline).double()).sum(dim=-1)


def gradients(score: Score, points: Tensor) -> Tensor:
    """Return the gradient of each variant's score at points [S, T, E], of the same shape; no parameter gets one."""
    # cuDNN's recurrent kernels have a gradient in training mode alone.
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
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
def loss_without(score: Score, x: Tensor, baseline: Tensor, places: Tensor) -> Tensor:
    """Return score(x) - score(x with the tokens at `places` at the baseline), a scalar.

    How much is lost without the tokens that a method ranks first is its comprehensiveness (DeYoung et al. 2020,
    arXiv:1911.03429).
    """
    variant = x.clone()
    variant[places] = baseline[places]
    found = score(torch.stack([x, variant])).double()
    return found[0] - found[1]
