"""Preferences: the means over real pairs, by hand."""

import pytest
import torch

from prospero.batch import Batch
from prospero.errors import DataError
from prospero.evaluation.metrics.loss import LossMetric
from prospero.evaluation.metrics.preference import Preference
from prospero.evaluation.metrics.reference_kl import ReferenceKL
from prospero.objective.terms import MeasuredPairs, MeasuredTokens


def scores(pairs: MeasuredPairs | None) -> MeasuredTokens:
    nothing = torch.zeros(4, 2)
    return MeasuredTokens(nothing == 0, nothing, nothing + 100, None, None, None, pairs)


def batch() -> Batch:
    return Batch(inputs={}, labels=torch.zeros(4, 2), sequences=3, tokens=8, target_tokens=8)


PAIRS = MeasuredPairs(
    real=torch.tensor([True, True, True, False]),
    loss=torch.tensor([1.0, 2.0, 6.0, 99.0]),
    rewards=torch.tensor([[2.0, 1.0], [0.5, 0.5], [-1.0, 1.0], [9.0, 0.0]]),
    log_ratios=torch.tensor([[1.0, 0.0], [2.0, 0.0], [-0.5, 0.0], [50.0, 0.0]]),
    tokens=torch.tensor([[2.0, 1.0], [2.0, 1.0], [1.0, 1.0], [1.0, 1.0]]),
)


def test_means_over_the_pairs_a_tie_is_half_right():
    metric = Preference()
    metric.update(scores(PAIRS), batch())
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found == pytest.approx({"accuracy": 0.5, "margin": -1 / 3, "chosen_reward": 0.5, "rejected_reward": 2.5 / 3})


def test_the_distance_is_a_mean_over_tokens():
    metric = ReferenceKL()
    metric.update(scores(PAIRS), batch())
    assert float(metric.compute()) == pytest.approx(2.5 / 5)


def test_the_loss_is_a_mean_over_pairs():
    metric = LossMetric()
    metric.update(scores(PAIRS), batch())
    assert float(metric.compute()) == 3.0


def test_a_batch_without_pairs_is_refused():
    with pytest.raises(DataError, match="loss=dpo"):
        Preference().update(scores(None), batch())
