"""Schedule-free AdamW against its three sequences written out, and the weights it gives to be measured."""

import pytest
import torch
from torch import nn

from prospero.optim.adamw import AdamWConfig
from prospero.optim.evaluation_weights import HasEvaluationWeights
from prospero.optim.schedule_free import ScheduleFree, ScheduleFreeConfig
from tests.objective.fakes import TinyModel


def test_it_is_its_formula():
    """Algorithm 1 of arXiv:2405.15682 in AdamW's form, number by number."""
    lr, beta1, beta2, eps, decay, warmup = 0.1, 0.9, 0.95, 1e-8, 0.5, 4
    p = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = ScheduleFree([p], lr, (beta1, beta2), eps, decay, warmup)
    z = x = y = p.detach().double().clone()
    v, weights = torch.zeros(2, dtype=torch.float64), 0.0
    for t in range(1, 11):
        gradient = torch.tensor([0.3 * t, -1.0 / t], dtype=torch.float64)
        p.grad = gradient.float()
        optimizer.step()
        rate = lr * min(1.0, t / warmup)
        v = beta2 * v + (1 - beta2) * gradient**2
        z = z - rate * (gradient / ((v / (1 - beta2**t)).sqrt() + eps) + decay * y)
        weights += rate**2  # the largest rate so far is this one
        x = (1 - rate**2 / weights) * x + rate**2 / weights * z
        y = (1 - beta1) * z + beta1 * x
        torch.testing.assert_close(p.detach().double(), y, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(optimizer.evaluation_weights()[p].double(), x, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(x, y, atol=1e-3)


def test_with_constant_rate_the_average_is_the_mean_of_all_z():
    p = nn.Parameter(torch.zeros(1))
    optimizer = ScheduleFree([p], lr=0.5, betas=(0.9, 0.9), eps=0.0)
    for _ in range(4):  # a constant gradient: every step of z is -0.5, so z = -0.5, -1, -1.5, -2
        p.grad = torch.ones(1)
        optimizer.step()
    state = optimizer.state[p]
    assert state["z"].item() == pytest.approx(-2.0) and state["x"].item() == pytest.approx(-1.25)
    assert p.item() == pytest.approx(0.1 * -2.0 + 0.9 * -1.25)


def test_a_rate_of_zero_moves_nothing_and_weighs_nothing():
    p = nn.Parameter(torch.ones(2))
    optimizer = ScheduleFree([p], lr=0.0, weight_decay=0.1)
    p.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(p.detach(), torch.ones(2)) and optimizer.param_groups[0]["weight_sum"] == 0.0


def test_it_says_that_it_has_weights_to_measure_and_others_do_not():
    model = TinyModel()
    optimizer = ScheduleFreeConfig().build(model)
    assert isinstance(optimizer, HasEvaluationWeights)
    assert not isinstance(AdamWConfig().build(model), HasEvaluationWeights)
    assert optimizer.evaluation_weights() == {}
    model.head.weight.grad = torch.ones_like(model.head.weight)
    optimizer.step()
    assert list(optimizer.evaluation_weights()) == [model.head.weight]
