"""The noise of a model's gradient, and the loss's curvature along it, from some micro-batches.

With k micro-batches of b sequences each, g_i their gradients and m their mean:
    tr(S) = b / (k - 1) * sum |g_i - m|^2,    |G|^2 = |m|^2 - tr(S) / (b k)
without bias (McCandlish et al. 2018, arXiv:1812.06162, appendix A.1). Nothing but one sum of gradients is kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from prospero.batch import IGNORE_INDEX, Batch
from prospero.model.base import LanguageModel
from prospero.objective.objective import Objective, Share
from prospero.runs.doctor.probe import NoiseScale

STEP = 1e-3
"""How far the curvature looks along the gradient, as a part of the weights' norm."""
OF_CURVATURE = 4
"""Micro-batches whose gradients are taken again for it."""


def measure_gradients(
    model: LanguageModel, objective: Objective, batches: Sequence[Batch]
) -> tuple[NoiseScale, float | None]:
    """Return the noise scale of micro-batches of equal size, two or more, and the curvature along their mean gradient.

    The curvature is None where there is no gradient. The weights are afterwards as they were.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    squares = 0.0
    for batch in batches:
        gradient = _gradient(model, objective, batch, parameters)
        squares += _dot(gradient, gradient)
        for part, added in zip(total, gradient):
            part.add_(added)
    k, b = len(batches), len(batches[0].labels)
    mean = [part / k for part in total]
    of_mean = _dot(mean, mean)
    noise = b * max(0.0, squares - k * of_mean) / (k - 1)
    scale = NoiseScale(signal=of_mean - noise / (b * k), noise=noise, sequences=b * k)
    return scale, _curvature(model, objective, batches[:OF_CURVATURE], parameters, mean)


def _gradient(
    model: LanguageModel, objective: Objective, batch: Batch, parameters: Sequence[Tensor]
) -> Sequence[Tensor]:
    own = int((batch.labels != IGNORE_INDEX).sum())
    loss = objective(model, replace(batch, target_tokens=max(1, own)), Share()).total
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]


def _curvature(
    model: LanguageModel,
    objective: Objective,
    batches: Sequence[Batch],
    parameters: Sequence[Tensor],
    direction: Sequence[Tensor],
) -> float | None:
    """g'Hg / g'g by the difference of two gradients, on either side of the weights."""
    norm, size = _dot(direction, direction) ** 0.5, _dot(parameters, parameters) ** 0.5
    if norm == 0 or size == 0:
        return None
    far = STEP * size
    slopes = []
    for sign in (1.0, -1.0):
        with _moved(parameters, direction, sign * far / norm):
            gradients = [_gradient(model, objective, batch, parameters) for batch in batches]
        slopes.append(sum(_dot(gradient, direction) for gradient in gradients) / (norm * len(batches)))
    return (slopes[0] - slopes[1]) / (2 * far)


@contextmanager
def _moved(parameters: Sequence[Tensor], direction: Sequence[Tensor], by: float) -> Iterator[None]:
    kept = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, d in zip(parameters, direction):
            p.add_(d, alpha=by)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, old in zip(parameters, kept):
                p.copy_(old)


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return float(sum((a.detach().double() * b.detach().double()).sum() for a, b in zip(left, right)))
