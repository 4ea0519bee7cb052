"""The noise scale and the curvature, where both are known."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prospero.analysis.doctor.gradients import measure_gradients
from prospero.batch import Batch
from prospero.objective.objective import ObjectiveOutput, Share


class Point(nn.Module):
    """A point in n dimensions."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.full((n,), 2.0))
        self.unused = nn.Parameter(torch.ones(3))


@dataclass
class Bowl:
    """sum over the sequences of a batch of a/2 |x|^2 + x . noise: the gradient is a x + mean noise, the curvature a."""

    a: float

    def __call__(self, model: Any, batch: Batch, share: Share) -> ObjectiveOutput:
        noise: Tensor = batch.inputs["noise"].mean(0)
        return ObjectiveOutput(self.a / 2 * model.place.square().sum() + (model.place * noise).sum(), {})


def batches(k: int, b: int, n: int, sigma: float) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    noises = sigma * torch.randn(k, b, n, generator=generator)
    labels = torch.zeros(b, 1, dtype=torch.long)
    return [Batch(inputs={"noise": noise}, labels=labels, sequences=b, tokens=b, target_tokens=b) for noise in noises]


def test_the_noise_scale_of_known_noise():
    """|G|^2 = n (a x)^2 = 10000 x 0.09 = 900, tr(S) = n sigma^2 = 40000: B_simple = 44.4 sequences."""
    model = Point(10_000)
    scale, curvature = measure_gradients(model, Bowl(0.15), batches(16, 4, 10_000, 2.0))  # type: ignore[arg-type]
    assert scale.noise == pytest.approx(40_000, rel=0.02)
    assert scale.signal == pytest.approx(900, rel=0.1)
    assert scale.sequences == 64
    assert curvature == pytest.approx(0.15, rel=0.05)


def test_a_gradient_without_noise_and_one_of_noise_alone():
    scale, _ = measure_gradients(Point(10), Bowl(1.0), batches(4, 2, 10, 0.0))  # type: ignore[arg-type]
    assert scale.noise == pytest.approx(0, abs=1e-9) and scale.sequences_of_equal_noise == pytest.approx(0, abs=1e-9)
    scale, _ = measure_gradients(Point(5000), Bowl(0.0), batches(16, 1, 5000, 1.0))  # type: ignore[arg-type]
    assert scale.sequences_of_equal_noise > 300


def test_the_weights_are_as_they_were():
    model = Point(10)
    before = model.place.detach().clone()
    measure_gradients(model, Bowl(1.0), batches(4, 2, 10, 0.1))  # type: ignore[arg-type]
    assert torch.equal(model.place, before) and model.place.grad is None
    _, curvature = measure_gradients(model, Bowl(0.0), batches(4, 2, 10, 0.0))  # type: ignore[arg-type]
    assert curvature is None  # no gradient to look along
