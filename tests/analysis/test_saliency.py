"""Attributions: their sums, a linear model's, and leaving one out by hand."""

import pytest
import torch
from torch import Tensor

from prospero.analysis.saliency import NODES, gradient_times_input, integrated_gradients, leave_one_out, loss_without

WEIGHT = torch.tensor([[1.0, -2.0], [0.5, 3.0], [4.0, 0.0]])


def linear(points: Tensor) -> Tensor:
    """Sum of weight x embedding, and a constant."""
    return (points * WEIGHT).sum(dim=(1, 2)) + 7.0


def cubic(points: Tensor) -> Tensor:
    """(x0 + x1)^3 + x2: two tokens that act together, and one that acts alone."""
    return (points[:, 0, 0] + points[:, 1, 0]) ** 3 + points[:, 2, 0]


def test_gradient_times_input_is_exact_for_a_linear_score():
    x = torch.tensor([[1.0, 1.0], [2.0, -1.0], [0.5, 9.0]])
    baseline = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    by_hand = [1.0, 2 * 0.5 - 3.0, 2.0]
    assert gradient_times_input(linear, x, baseline).tolist() == pytest.approx(by_hand, abs=1e-6)
    found = integrated_gradients(linear, x, baseline, steps=1024, tolerance=1e-3)
    assert found.contributions.tolist() == pytest.approx(by_hand, abs=1e-5)
    assert (found.steps, found.difference) == (NODES, pytest.approx(sum(by_hand), abs=1e-5))
    assert leave_one_out(linear, x, baseline, rows=2).tolist() == pytest.approx(by_hand, abs=1e-5)


def test_integrated_gradients_by_hand_and_their_sum():
    """Along the line (a, 2a, 5a) the gradient of the first two is 3 (3a)^2 = 27 a^2, whose mean is 9."""
    x, baseline = torch.tensor([[1.0], [2.0], [5.0]]), torch.zeros(3, 1)
    found = integrated_gradients(cubic, x, baseline, steps=NODES, tolerance=1e-3)
    assert found.contributions.tolist() == pytest.approx([9.0, 18.0, 5.0], abs=1e-4)
    assert found.difference == pytest.approx(27.0 + 5.0, abs=1e-4)
    assert abs(found.gap) < 1e-4
    assert gradient_times_input(cubic, x, baseline).tolist() == pytest.approx([27.0, 54.0, 5.0], abs=1e-4)


def test_the_line_is_cut_where_the_score_bends_until_the_sum_is_right():
    """A step within a hundredth of the way: eight gradients miss it, and the pieces around it are halved."""

    def bent(points: Tensor) -> Tensor:
        return torch.tanh(300 * points[:, 0, 0]) + torch.relu(points[:, 1, 0] - 0.37)

    x, baseline = torch.ones(2, 1), torch.zeros(2, 1)
    coarse = integrated_gradients(bent, x, baseline, steps=NODES, tolerance=1e-3)
    assert coarse.steps == NODES
    assert abs(coarse.gap) > 0.1
    fine = integrated_gradients(bent, x, baseline, steps=2000, tolerance=1e-3)
    assert abs(fine.gap) < 1e-3
    assert fine.contributions.tolist() == pytest.approx([1.0, 0.63], abs=2e-3)
    assert fine.steps < 400


def test_leaving_one_out_by_hand():
    x, baseline = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[0.0], [1.0], [4.0]])
    assert leave_one_out(cubic, x, baseline, rows=2).tolist() == pytest.approx([27 - 8, 27 - 8, 1.0])


def test_what_the_first_tokens_of_a_ranking_were_worth():
    x, baseline = torch.tensor([[1.0], [2.0], [5.0]]), torch.zeros(3, 1)
    lost = [float(loss_without(cubic, x, baseline, torch.tensor([1, 0, 2])[:k])) for k in range(4)]
    assert lost == [0.0, 26.0, 27.0, 32.0]


def test_it_works_where_gradients_are_off_and_leaves_none_behind():
    weight = torch.nn.Parameter(torch.ones(1))
    x, baseline = torch.tensor([[2.0]]), torch.zeros(1, 1)
    with torch.inference_mode():
        found = integrated_gradients(lambda p: p[:, 0, 0] ** 2 * weight, x, baseline, steps=8, tolerance=0.1)
    assert found.contributions.tolist() == pytest.approx([4.0])
    assert weight.grad is None
