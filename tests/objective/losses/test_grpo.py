"""Ratio, bound, divergence and their gradient by hand, on two tokens of a vocabulary of two."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prospero.batch import Batch
from prospero.errors import ConfigError, DataError
from prospero.objective.losses.grpo import ADVANTAGES, GIVEN, OLD, REFERENCE, TOKEN_WEIGHTS, GRPOConfig
from prospero.objective.objective import Objective, Share

P = (0.8, 0.3)
"""The probability of the label now, at each of the two tokens."""


class TwoTokens(nn.Module):
    """Its only parameter are the logits: (log p, log (1 - p)) of each position; the labels are 0."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([[[math.log(p), math.log(1 - p)] for p in P]]))

    def project(self, hidden):
        return hidden

    def forward(self, input_ids, logits=False):
        return SimpleNamespace(hidden=self.logits * 1, logits=None)


def batch(advantages, old, *, reference=(0.5, 0.5), weights=(1.0, 1.0), given=(False, False)) -> Batch:
    facts = {ADVANTAGES: torch.tensor([advantages]), TOKEN_WEIGHTS: torch.tensor([weights])}
    facts |= {OLD: torch.tensor([old]).log(), REFERENCE: torch.tensor([reference]).log(), GIVEN: torch.tensor([given])}
    labels = torch.zeros((1, 2), dtype=torch.long)
    return Batch(inputs={"input_ids": labels}, labels=labels, facts=facts, sequences=1, tokens=2, target_tokens=2)


def found(config: GRPOConfig, data: Batch):
    model = TwoTokens()
    output = Objective({"grpo": config.build()})(model, data, Share())
    output.total.backward()
    assert model.logits.grad is not None
    return output, model.logits.grad[0, :, 0]


def test_the_clipped_ratio_and_its_gradient_by_hand():
    """r = 1.6 above 1.2 with A = 2 is held at 1.2; r = 0.75 within with A = -1 is not: loss (-2.4 + 0.75) / 2."""
    output, gradient = found(GRPOConfig(beta=0.0, clip_low=0.3), batch((2.0, -1.0), (0.5, 0.4)))
    assert output.total.item() == pytest.approx((-2.4 + 0.75) / 2, abs=1e-6)
    # of the bounded one nothing; of the other -A r (1 - p) / 2 = 0.75 x 0.7 / 2
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0.75 * 0.7 / 2]), atol=1e-6, rtol=0)
    assert output.observed["grpo/clip_share"].item() == pytest.approx(0.5)


def test_a_ratio_beyond_the_bound_still_counts_where_that_is_worse():
    """r = 1.6 with A = -1 loses 1.6; r = 0.75 below 0.8 with A = 1 gives -0.75: the smaller gain of the two."""
    output, gradient = found(GRPOConfig(beta=0.0), batch((-1.0, 1.0), (0.5, 0.4)))
    assert output.total.item() == pytest.approx((1.6 - 0.75) / 2, abs=1e-6)
    torch.testing.assert_close(gradient, torch.tensor([1.6 * 0.2 / 2, -0.75 * 0.7 / 2]), atol=1e-6, rtol=0)
    assert output.observed["grpo/clip_share"].item() == 0


def test_the_divergence_from_the_reference_by_hand():
    """k3 = q / p - log(q / p) - 1 with q the reference; its gradient to log p is 1 - q / p."""
    output, gradient = found(GRPOConfig(beta=0.5), batch((0.0, 0.0), P, reference=(0.4, 0.6)))
    expected = [0.5 - math.log(0.5) - 1, 2 - math.log(2) - 1]
    assert output.total.item() == pytest.approx(0.5 * sum(expected) / 2, abs=1e-6)
    assert output.observed["grpo/kl"].item() == pytest.approx(sum(expected) / 2, abs=1e-6)
    slopes = torch.tensor([0.25 * (1 - 0.5) * (1 - P[0]), 0.25 * (1 - 2) * (1 - P[1])])
    torch.testing.assert_close(gradient, slopes, atol=1e-6, rtol=0)


def test_at_the_policy_that_drew_it_the_loss_is_the_mean_of_minus_the_advantages():
    output, gradient = found(GRPOConfig(beta=0.0), batch((2.0, -1.0), P, weights=(0.5, 1.5)))
    assert output.total.item() == pytest.approx((-2.0 * 0.5 + 1.0 * 1.5) / 2, abs=1e-6)
    torch.testing.assert_close(gradient, torch.tensor([-2 * 0.5 * 0.2 / 2, 1.5 * 0.7 / 2]), atol=1e-6, rtol=0)
    entropies = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in P]
    assert output.observed["grpo/entropy"].item() == pytest.approx(sum(entropies) / 2, abs=1e-6)


def test_answers_that_are_given_are_learnt_by_cross_entropy():
    data = batch((0.0, 0.0), (1.0, 1.0), reference=(1.0, 1.0), given=(True, True))
    output, gradient = found(GRPOConfig(beta=0.5), data)
    assert output.total.item() == pytest.approx(-sum(map(math.log, P)) / 2, abs=1e-6)
    torch.testing.assert_close(gradient, torch.tensor([p - 1 for p in P]) / 2, atol=1e-6, rtol=0)
    assert output.observed["grpo/kl"].item() == 0 and output.observed["grpo/clip_share"].item() == 0


def test_without_beta_no_reference_is_read():
    assert REFERENCE not in GRPOConfig(beta=0.0).build().facts and REFERENCE in GRPOConfig().build().facts
    data = batch((1.0, 1.0), P)
    data.facts = {name: fact for name, fact in data.facts.items() if name != REFERENCE}
    found(GRPOConfig(beta=0.0), data)
    with pytest.raises(DataError, match="GRPO reads 'reference_log_probabilities'"):
        found(GRPOConfig(), data)


@pytest.mark.parametrize("wrong", [{"clip_low": 0.0}, {"clip_low": 1.5}, {"clip_high": 0.0}, {"beta": -1.0}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        GRPOConfig(**wrong)
