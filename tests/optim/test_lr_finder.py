"""The range test finds the usable rate of a problem whose rate is known, and leaves no trace."""

import copy

import pytest
import torch
from torch import nn

from prospero.errors import ConfigError
from prospero.optim.lr_finder import lr_range_test


def quadratic(curvature: float = 1.0):
    """A bowl whose steepest curvature is `curvature`: gradient descent diverges above a rate of 2 / curvature."""
    torch.manual_seed(0)
    model = nn.Linear(50, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.0)

    def backward() -> torch.Tensor:
        loss = 0.5 * curvature * (torch.linspace(0.1, 1, 50) * model.weight.square()).sum()
        loss.backward()
        return loss

    return backward, model, optimizer


@pytest.mark.parametrize("curvature", [1.0, 100.0])
def test_the_advice_scales_with_the_curvature(curvature):
    curve = lr_range_test(*quadratic(curvature), start_lr=1e-5, end_lr=100.0, steps=120, smoothing=0.0)
    assert curve.diverged
    assert 0.01 / curvature < curve.steepest < 2 / curvature
    assert 0.01 / curvature < curve.suggestion < 1 / curvature
    assert curve.lrs[0] == pytest.approx(1e-5) and curve.lrs == sorted(curve.lrs)


def test_without_divergence_the_whole_range_is_seen():
    curve = lr_range_test(*quadratic(), start_lr=1e-4, end_lr=1e-2, steps=20)
    assert not curve.diverged and len(curve.lrs) == len(curve.losses) == len(curve.smoothed) == 20
    assert curve.lrs[-1] == pytest.approx(1e-2)


def test_nothing_is_left_behind():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters()}], lr=0.01
    )

    def backward() -> torch.Tensor:
        loss = model(torch.randn(8, 4)).square().mean()
        loss.backward()
        return loss

    backward()
    optimizer.step()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]))
    random_state = torch.get_rng_state()
    lr_range_test(backward, model, optimizer, steps=12, end_lr=0.1)
    after = (model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()])
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_impossible_settings_name_themselves():
    with pytest.raises(ConfigError, match="start_lr"):
        lr_range_test(*quadratic(), start_lr=1.0, end_lr=0.1)
    with pytest.raises(ConfigError, match="steps=3"):
        lr_range_test(*quadratic(), steps=3)
    with pytest.raises(ConfigError, match="blew up"):
        lr_range_test(*quadratic(), start_lr=100.0, end_lr=1e6)
