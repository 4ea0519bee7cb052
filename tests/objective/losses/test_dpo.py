"""The loss `dpo`: its numbers and gradients by hand."""

import math

import pytest
import torch

from prospero.errors import ConfigError
from prospero.objective.losses.dpo import DPOConfig, Variant
from prospero.objective.losses.pair import PairScores

REFERENCE, TOKENS = torch.tensor([[-2.5, -2.5]]), torch.tensor([[2.0, 4.0]])
SIGMOID_HALF = 1 / (1 + math.exp(-0.5))


def scored(config: DPOConfig) -> tuple[float, list[float], list[float]]:
    """The loss of one pair with log-ratios 0.5 and -0.5, its gradient to the log-probabilities, and the rewards."""
    policy = torch.tensor([[-2.0, -3.0]], requires_grad=True)
    loss = config.build()
    pairs = PairScores(policy, REFERENCE, TOKENS)
    value = loss.per_pair(pairs).sum()
    value.backward()
    assert policy.grad is not None
    return value.item(), policy.grad[0].tolist(), loss.rewards(pairs)[0].tolist()


def test_sigmoid_by_hand():
    """h = 1, beta = 0.5: -log s(0.5), with the gradient -beta s(-0.5) to the chosen answer."""
    value, grad, rewards = scored(DPOConfig(beta=0.5))
    assert value == pytest.approx(-math.log(SIGMOID_HALF), abs=1e-6)
    slope = 0.5 * (1 - SIGMOID_HALF)
    assert grad == pytest.approx([-slope, slope], abs=1e-6)
    assert rewards == pytest.approx([0.25, -0.25])


def test_smoothed_by_hand():
    """0.9 x the loss of the label as it is and 0.1 x that of the other way round."""
    value, grad, _ = scored(DPOConfig(beta=0.5, label_smoothing=0.1))
    assert value == pytest.approx(-0.9 * math.log(SIGMOID_HALF) - 0.1 * math.log(1 - SIGMOID_HALF), abs=1e-6)
    slope = 0.5 * (0.9 * (1 - SIGMOID_HALF) - 0.1 * SIGMOID_HALF)
    assert grad == pytest.approx([-slope, slope], abs=1e-6)


def test_ipo_by_hand():
    """Mean log-ratios 0.5 / 2 and -0.5 / 4, so h = 0.375; the aim is 1 / (2 x 0.5) = 1."""
    value, grad, rewards = scored(DPOConfig(beta=0.5, variant=Variant.ipo))
    assert value == pytest.approx((0.375 - 1) ** 2, abs=1e-6)
    assert grad == pytest.approx([2 * (0.375 - 1) / 2, -2 * (0.375 - 1) / 4], abs=1e-6)
    assert rewards == pytest.approx([0.125, -0.0625])


@pytest.mark.parametrize("beta", [0.05, 0.1, 2.0])
def test_where_the_model_is_its_reference(beta):
    """ln 2, whatever beta and smoothing; 1 / (4 beta^2) of ipo."""
    pairs = PairScores(REFERENCE.clone(), REFERENCE, TOKENS)
    for smoothing in (0.0, 0.3):
        loss = DPOConfig(beta=beta, label_smoothing=smoothing).build()
        assert loss.per_pair(pairs).item() == pytest.approx(math.log(2), abs=1e-6)
    assert DPOConfig(beta=beta, variant=Variant.ipo).build().per_pair(pairs).item() == pytest.approx(
        1 / (4 * beta**2), rel=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beta": 0.0}, "beta=0.0"),
        ({"beta": math.inf}, "beta=inf"),
        ({"label_smoothing": 0.5}, "label_smoothing=0.5"),
        ({"label_smoothing": 0.1, "variant": Variant.ipo}, "variant=sigmoid"),
        ({"weight": 0.0}, "weight=0.0"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(ConfigError, match=said):
        DPOConfig(**settings)
