"""How alike two sets of activations of the same tokens are, whatever the basis: CKA and PWCCA.

Shapes: n tokens, D and E dimensions of the two representations, r directions that one of them uses.
"""

from functools import cached_property

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""Directions shorter than this share of the longest are none: float32 cannot tell them from noise."""


class Representation:
    """Activations [n, D] of n tokens, centred; what several comparisons need of them is computed once."""

    def __init__(self, activations: Tensor) -> None:
        wide = activations.detach().to(torch.promote_types(activations.dtype, torch.float32))
        self.centred = wide - wide.mean(dim=0)

    @property
    def n_tokens(self) -> int:
        """n."""
        return self.centred.shape[0]

    @cached_property
    def self_alignment(self) -> float:
        """|X^T X|_F."""
        return float(torch.linalg.matrix_norm(self.centred.T @ self.centred))

    @cached_property
    def lengths(self) -> Tensor:
        """Squared length of each token [n]."""
        return self.centred.square().sum(dim=1)

    @cached_property
    def basis(self) -> Tensor:
        """Orthonormal basis [n, r] of the columns."""
        left, values, _ = torch.linalg.svd(self.centred, full_matrices=False)
        return left[:, values > TOLERANCE * values[0]] if len(values) and values[0] > 0 else left[:, :0]


def linear_cka(x: Representation, y: Representation) -> float:
    """Return |X^T Y|_F^2 / (|X^T X|_F |Y^T Y|_F), from 0 to 1; NaN where one of them is constant.

    Kornblith et al. 2019, "Similarity of neural network representations revisited", arXiv:1905.00414. The same under
    rotations and a common scale of either, not under every linear map. Too high where n is not far above D.
    """
    below = x.self_alignment * y.self_alignment
    return float(torch.linalg.matrix_norm(x.centred.T @ y.centred)) ** 2 / below if below > 0 else float("nan")


def unbiased_cka(x: Representation, y: Representation) -> float:
    """Return linear CKA by the unbiased estimate of HSIC: about 0 for independent ones, whatever n and D are.

    It may fall a little below 0. HSIC_1 of Song et al. 2012 (JMLR 13), used for CKA by Nguyen et al. 2021
    (arXiv:2010.15327). NaN with fewer than four tokens, and where one of the two is constant.
    """
    if x.n_tokens < 4:
        return float("nan")
    below = _hsic(x, x) * _hsic(y, y)
    return _hsic(x, y) / below**0.5 if below > 0 else float("nan")


def _hsic(x: Representation, y: Representation) -> float:
    """Return n (n - 3) times the unbiased HSIC of X X^T and Y Y^T, without making either [n, n]."""
    n = x.n_tokens
    common = torch.linalg.matrix_norm(x.centred.T @ y.centred).double() ** 2
    trace = common - (x.lengths.double() * y.lengths.double()).sum()
    # The rows of a centred Gram matrix sum to 0, so without its diagonal each sums to minus the diagonal.
    rows_x, rows_y = -x.lengths.double(), -y.lengths.double()
    return float(trace + rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (rows_x * rows_y).sum())


def pwcca(x: Representation, y: Representation) -> float:
    """Return the projection-weighted mean of the canonical correlations of X and Y, weighted by X; from 0 to 1.

    1 for any invertible linear map of X. Each correlation counts as much as its direction takes part in X: weight
    sum_d |<h, x_d>| (Morcos et al. 2018, "Insights on representational similarity in neural networks with canonical
    correlation", arXiv:1806.05759). Not symmetric. Too high where n is not far above D + E: with n <= D + E some
    correlations are 1 for any two. NaN where one of them is constant.
    """
    if x.basis.shape[1] == 0 or y.basis.shape[1] == 0:
        return float("nan")
    left, correlations, _ = torch.linalg.svd(x.basis.T @ y.basis, full_matrices=False)
    directions = x.basis @ left  # [n, min(r of X, r of Y)], orthonormal
    weights = (directions.T @ x.centred).abs().sum(dim=1).double()
    return float((weights * correlations.clamp(max=1.0).double()).sum() / weights.sum())
