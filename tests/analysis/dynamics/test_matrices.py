"""Numbers of one matrix: what is known of identities, of rank one, of one-hot and of uniform entries."""

import math

import pytest
import torch

from prospero.analysis.dynamics.matrices import (
    condition_number,
    effective_rank,
    gini,
    hoyer,
    matrix_numbers,
    singular_values,
    update_to_weight,
)

ONE_HOT = torch.tensor([0.0, 0.0, -3.0, 0.0])


def test_an_identity_uses_every_direction_and_rank_one_uses_one():
    assert effective_rank(singular_values(torch.eye(7))) == pytest.approx(7)
    outer = torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0, 4.0]))
    assert effective_rank(singular_values(outer)) == pytest.approx(1, abs=1e-4)
    assert effective_rank(torch.zeros(3)) == 0


def test_effective_rank_is_exp_of_the_entropy():
    assert effective_rank(torch.tensor([3.0, 1.0])) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )


def test_the_condition_number_is_the_greatest_by_the_smallest():
    assert condition_number(singular_values(torch.diag(torch.tensor([2.0, 8.0, 4.0])))) == pytest.approx(4)
    assert condition_number(torch.tensor([2.0, 0.0])) == math.inf
    assert math.isnan(condition_number(torch.zeros(2)))


def test_gini_and_hoyer_of_uniform_and_of_one_hot():
    uniform = torch.tensor([[2.0, -2.0], [2.0, 2.0]])
    assert gini(uniform) == pytest.approx(0) and hoyer(uniform) == pytest.approx(0)
    assert gini(ONE_HOT) == pytest.approx(3 / 4) and hoyer(ONE_HOT) == pytest.approx(1)
    assert math.isnan(gini(torch.zeros(3))) and math.isnan(hoyer(torch.zeros(3))) and math.isnan(hoyer(torch.ones(1)))


def test_gini_and_hoyer_by_hand():
    values = torch.tensor([3.0, 0.0, -1.0])  # Gini: 1 - 2 (1/4 * 1.5/3 + 3/4 * 0.5/3)
    assert gini(values) == pytest.approx(1 - 2 * (0.25 * 0.5 + 0.75 / 6))
    assert hoyer(values) == pytest.approx((3**0.5 - 4 / 10**0.5) / (3**0.5 - 1))


def test_all_numbers_of_a_matrix_by_hand():
    numbers = matrix_numbers(torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]).bfloat16())
    assert numbers.frobenius_norm == pytest.approx(5) and numbers.spectral_norm == pytest.approx(4)
    assert numbers.condition_number == pytest.approx(4 / 3)
    assert numbers.effective_rank == pytest.approx(effective_rank(torch.tensor([4.0, 3.0])))


def test_update_to_weight_by_hand():
    assert update_to_weight(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.1)
    assert math.isnan(update_to_weight(torch.zeros(2), torch.ones(2)))
