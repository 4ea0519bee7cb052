"""Adafactor against torch's own, against its formula, and with its state counted."""

import math

import pytest
import torch
from torch import nn

from prospero.optim.adafactor import Adafactor, AdafactorConfig
from tests.objective.fakes import TinyModel


def test_it_is_torchs_adafactor_while_the_rate_is_below_the_inverse_root_of_the_step():
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((5, 7), (7, 5), (4,), (1, 1))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    start = [p.detach().clone() for p in ours]
    optimizer = Adafactor(ours, lr=0.05, weight_decay=0.1, eps=1e-30)
    other = torch.optim.Adafactor(theirs, lr=0.05, weight_decay=0.1, foreach=False)
    for step in range(20):
        for p, q in zip(ours, theirs):
            p.grad = torch.randn_like(p) * 10.0 ** (step % 3)  # so that the update is clipped at times
            q.grad = p.grad.clone()
        optimizer.step()
        other.step()
    for p, q, s in zip(ours, theirs, start):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
        assert (p - s).abs().max() > 0.05


def test_a_step_by_hand():
    p = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    p.grad = torch.tensor([[1.0, 3.0]])
    optimizer = Adafactor([p], lr=0.1, weight_decay=0.5, eps=0.0)
    optimizer.step()
    # t = 1: no memory. row = 5, column = (1, 9), V = row column / mean(row) = (1, 9), update (1, 1) of size 1.
    rms = math.sqrt(12.5)
    torch.testing.assert_close(p.detach(), torch.tensor([[3.0, 4.0]]) * 0.95 - 0.1 * rms)
    assert optimizer.state[p]["row"].tolist() == [5.0] and optimizer.state[p]["column"].tolist() == [1.0, 9.0]


def test_an_update_is_clipped_and_a_weight_at_zero_moves():
    p = nn.Parameter(torch.zeros(2))
    optimizer = Adafactor([p], lr=1.0, eps=0.0, least_rms=0.01, clip_rms=0.5)
    p.grad = torch.tensor([1.0, -1.0])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([-0.005, 0.005]))


def test_a_gradient_of_rounding_alone_makes_no_step():
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 1e-12)
    AdafactorConfig(lr=0.01).build(nn.ParameterList([p])).step()
    assert (p - 1).abs().max() < 2e-6


def test_state_of_a_matrix_is_a_row_and_a_column():
    model = TinyModel(vocab_size=13, d_model=8)
    optimizer = AdafactorConfig().build(model)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    shapes = {key: list(value.shape) for key, value in optimizer.state[model.head.weight].items()}
    assert shapes == {"row": [13], "column": [8]}
    assert optimizer.state[model.norm.weight].keys() == {"exp_avg_sq"}


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_decay_of_the_average_rises_with_the_steps(steps):
    p = nn.Parameter(torch.ones(1))
    optimizer = Adafactor([p], lr=0.0, eps=0.0, beta2_decay=0.8)
    expected = 0.0
    for t in range(1, steps + 1):
        p.grad = torch.tensor([float(t)])
        optimizer.step()
        expected += (t**2 - expected) * t**-0.8
    assert optimizer.state[p]["exp_avg_sq"].item() == pytest.approx(expected, rel=1e-6)
