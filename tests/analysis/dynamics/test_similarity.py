"""CKA and PWCCA: what must be 1, what must be small, and one number by hand."""

import math

import pytest
import torch

from prospero.analysis.dynamics.similarity import Representation, linear_cka, pwcca, unbiased_cka


def drawn(seed: int, n: int = 400, width: int = 6) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def rotation(width: int) -> torch.Tensor:
    return torch.linalg.qr(drawn(9, width, width)).Q


@pytest.mark.parametrize("cka", [linear_cka, unbiased_cka])
def test_a_rotation_a_scale_and_a_shift_do_not_matter_to_cka(cka):
    x = drawn(1)
    assert cka(Representation(x), Representation(3 * x @ rotation(6) + 7)) == pytest.approx(1, abs=1e-5)


def test_independent_ones_are_far_apart():
    x, y = Representation(drawn(1)), Representation(drawn(2))
    assert linear_cka(x, y) < 0.05 and abs(unbiased_cka(x, y)) < 0.05 and pwcca(x, y) < 0.25


def test_the_unbiased_estimate_stays_small_with_fewer_tokens_than_dimensions():
    x, y = Representation(drawn(1, 50, 200)), Representation(drawn(2, 50, 200))
    assert linear_cka(x, y) > 0.7 and abs(unbiased_cka(x, y)) < 0.1


def test_linear_cka_by_hand():
    x = Representation(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    y = Representation(torch.tensor([[1.0], [-1.0], [0.0], [0.0]]))
    assert linear_cka(x, y) == pytest.approx(2**2 / (8**0.5 * 2))


def test_the_unbiased_estimate_is_that_of_its_gram_matrices():
    x, y = drawn(1, 9, 3), drawn(2, 9, 5)

    def hsic(a, b, n=9):
        k, m = ((z - z.mean(0)) @ (z - z.mean(0)).T for z in (a, b))
        k, m = k - k.diag().diag(), m - m.diag().diag()
        return (k @ m).trace() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()

    by_hand = hsic(x, y) / (hsic(x, x) * hsic(y, y)) ** 0.5
    assert unbiased_cka(Representation(x), Representation(y)) == pytest.approx(float(by_hand), abs=1e-5)


def test_an_invertible_map_does_not_matter_to_pwcca_and_does_to_cka():
    x = drawn(1)
    stretched = x @ torch.diag(torch.tensor([10.0, 1, 1, 1, 1, 0.1])) @ drawn(5, 6, 6)
    assert pwcca(Representation(x), Representation(stretched)) == pytest.approx(1, abs=1e-4)
    assert linear_cka(Representation(x), Representation(stretched)) < 0.8


def test_pwcca_weighs_the_directions_by_what_x_makes_of_them():
    x = drawn(1) * torch.tensor([100.0, 1, 1, 1, 1, 1])
    shared, noise = x[:, :1], drawn(2, 400, 5)
    y = Representation(torch.cat((shared, noise), 1))
    assert pwcca(Representation(x), y) > 0.9 > 0.35 > pwcca(Representation(x * torch.tensor([1e-2, 1, 1, 1, 1, 1])), y)


def test_a_constant_one_has_no_similarity():
    x, constant = Representation(drawn(1)), Representation(torch.ones(400, 2))
    assert all(math.isnan(measure(x, constant)) for measure in (linear_cka, unbiased_cka, pwcca))
    few = Representation(drawn(1, 3))
    assert math.isnan(unbiased_cka(few, few))
