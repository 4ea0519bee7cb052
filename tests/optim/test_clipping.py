"""The norm of all gradients and clipping by it, on plain tensors; for sharded ones see tests/objective."""

import math

import pytest
import torch
from torch import nn

from prospero.optim.clipping import clip_grad_norm_


def with_grads(*grads: list[float]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(grad))) for grad in grads]
    for p, grad in zip(parameters, grads):
        p.grad = torch.tensor(grad)
    return [*parameters, nn.Parameter(torch.zeros(2))]  # the last has no gradient


def test_the_norm_is_over_all_gradients_together():
    parameters = with_grads([3.0, 0.0], [0.0, 4.0])
    assert clip_grad_norm_(parameters, None).item() == 5.0
    assert parameters[0].grad.tolist() == [3.0, 0.0]


def test_clipping_scales_to_the_norm_and_returns_the_norm_before():
    parameters = with_grads([3.0, 0.0], [0.0, 4.0])
    assert clip_grad_norm_(parameters, 1.0).item() == 5.0
    assert parameters[1].grad.tolist() == pytest.approx([0.0, 0.8], rel=1e-5)


@pytest.mark.parametrize("max_norm", [5.0, 100.0, math.inf])
def test_small_gradients_are_left_alone(max_norm):
    parameters = with_grads([3.0, 0.0], [0.0, 4.0])
    clip_grad_norm_(parameters, max_norm)
    assert parameters[1].grad.tolist() == [0.0, 4.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_shown_and_touches_nothing(bad):
    parameters = with_grads([3.0, bad], [0.0, 4.0])
    assert not torch.isfinite(clip_grad_norm_(parameters, 1.0))
    assert parameters[1].grad.tolist() == [0.0, 4.0]


def test_no_gradients_have_norm_zero():
    assert clip_grad_norm_([nn.Parameter(torch.zeros(2))], 1.0).item() == 0
