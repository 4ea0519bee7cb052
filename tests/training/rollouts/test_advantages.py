"""Advantages and weights of tokens by hand."""

import numpy as np
import pytest

from prospero.training.rollouts.advantages import group_advantages, token_weights, without_signal
from prospero.training.rollouts.settings import Normalization

REWARDS = np.array([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0], [3.0, 0.0, 0.0, 0.0]])


def test_advantages_by_hand():
    """(1, 0, 0, 1): mean 1/2, deviation 1/2. (3, 0, 0, 0): mean 3/4, deviation sqrt(27)/4."""
    scaled = group_advantages(REWARDS, by_std=True)
    np.testing.assert_allclose(scaled[0], [1, -1, -1, 1], atol=1e-12)
    np.testing.assert_allclose(scaled[2], np.array([9, -3, -3, -3]) / np.sqrt(27), atol=1e-12)
    plain = group_advantages(REWARDS, by_std=False)
    np.testing.assert_allclose(plain[[0, 2]], [[0.5, -0.5, -0.5, 0.5], [2.25, -0.75, -0.75, -0.75]], atol=1e-12)


def test_a_group_of_equal_rewards_says_nothing():
    assert (group_advantages(REWARDS, by_std=True)[1] == 0).all()
    tenths = np.full((1, 3), 0.1 + 0.2)
    assert (group_advantages(tenths - np.array([[0, 1e-17, 0]]), by_std=True) == 0).all()
    assert without_signal(REWARDS) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("normalization", "loss"),
    [
        (Normalization.token, (2 * 1 + 6 * 5) / 8),  # every token alike
        (Normalization.sequence, (1 + 5) / 2),  # the mean of each, then of both
        (Normalization.constant, (2 * 1 + 6 * 5) / (2 * 10)),  # by n x max_new_tokens
    ],
)
def test_what_the_sum_is_divided_by(normalization, loss):
    """Two completions of 2 and 6 tokens whose tokens lose 1 and 5 each; the objective takes the mean over 8 tokens."""
    weights = token_weights(np.array([2.0, 6.0]), normalization, 10)
    assert (2 * weights[0] * 1 + 6 * weights[1] * 5) / 8 == pytest.approx(loss, abs=1e-12)
