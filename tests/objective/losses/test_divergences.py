"""Divergences of two distributions by hand."""

import math

import pytest
import torch

from prospero.objective.losses.divergences import Divergence, divergence

TEACHER, STUDENT = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]


def of(kind, teacher, student):
    return divergence(kind, torch.tensor([teacher]).log(), torch.tensor([student]).log()).item()


def test_forward_is_the_teachers_mean_of_the_log_ratio():
    assert of(Divergence.forward, TEACHER, STUDENT) == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2))
    assert of(Divergence.forward, [0.9, 0.1], [0.5, 0.5]) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))


def test_reverse_is_the_students():
    assert of(Divergence.reverse, [0.9, 0.1], [0.5, 0.5]) == pytest.approx(
        0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    )


def test_jensen_shannon_is_the_mean_of_both_to_the_middle_and_at_most_ln_2():
    m = [0.7, 0.3]
    by_hand = [sum(a * math.log(a / b) for a, b in zip(p, m)) for p in ([0.9, 0.1], [0.5, 0.5])]
    assert of(Divergence.jensen_shannon, [0.9, 0.1], [0.5, 0.5]) == pytest.approx(sum(by_hand) / 2)
    assert of(Divergence.jensen_shannon, [1.0, 0.0], [0.0, 1.0]) == pytest.approx(math.log(2))


@pytest.mark.parametrize("kind", list(Divergence))
def test_what_is_impossible_for_both_adds_nothing_and_leaves_the_gradient_finite(kind):
    teacher = torch.tensor([[0.5, 0.5, 0.0]]).log()
    student = torch.tensor([[0.25, 0.75, 0.0]]).log().requires_grad_()
    found = divergence(kind, teacher, student)
    assert found.item() == pytest.approx(of(kind, [0.5, 0.5], [0.25, 0.75]))
    found.sum().backward()
    assert student.grad is not None and bool(student.grad[0, :2].isfinite().all())
