"""The linear probe: it finds a planted direction, and nothing where nothing is."""

import pytest
import torch

from prospero.analysis.logistic import fit_logistic


def test_its_minimum_is_where_the_gradient_is_zero():
    """One feature, +-1, and 3 of 4 right: with l2 = 0 the log odds are log 3, and half of them stand in each class."""
    x = torch.tensor([[1.0], [1.0], [1.0], [1.0], [-1.0], [-1.0], [-1.0], [-1.0]])
    y = torch.tensor([1, 1, 1, 0, 0, 0, 0, 1])
    found = fit_logistic(x, y, 2, l2=0.0)
    assert found.weight[:, 0].tolist() == pytest.approx([-0.5493, 0.5493], abs=1e-3)
    assert found.bias.tolist() == pytest.approx([0.0, 0.0], abs=1e-3)
    assert fit_logistic(x, y, 2, l2=1e6).weight.abs().max() < 1e-4


def test_a_planted_direction_is_found_and_a_random_label_is_not():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 16, generator=generator) * torch.linspace(0.01, 100, 16)
    planted = (x[:, 2] / 13.3 + x[:, 9] / 60 > 0).long()
    coins = torch.randint(2, (3000,), generator=generator)
    for label, low, high in ((planted, 0.98, 1.0), (coins, 0.44, 0.56)):
        probe = fit_logistic(x[:2000], label[:2000], 2, l2=1e-4)
        assert low <= (probe.predict(x[2000:]) == label[2000:]).float().mean() <= high


def test_several_classes_and_a_constant_feature():
    centres = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    y = torch.arange(300) % 3
    x = centres[y] + torch.randn(300, 2, generator=torch.Generator().manual_seed(1))
    x = torch.cat([x, torch.full((300, 1), 5.0)], dim=1)
    with torch.inference_mode():
        probe = fit_logistic(x, y, 3, l2=1e-3)
    assert (probe.predict(x) == y).float().mean() > 0.98
    assert probe.spread[2] == 1.0
