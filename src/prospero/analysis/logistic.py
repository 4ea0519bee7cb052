"""Multinomial logistic regression by L-BFGS: the linear probe.

Shapes: n examples, D features, C classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """A fitted classifier: scores are weight (x - mean) / spread + bias."""

    weight: Tensor
    """[C, D], of the standardised features."""
    bias: Tensor
    """[C]."""
    mean: Tensor
    """[D]."""
    spread: Tensor
    """[D]: the standard deviation; 1 where a feature is constant."""

    def scores(self, x: Tensor) -> Tensor:
        """Return the logits [n, C] of x [n, D]."""
        return F.linear((x.to(self.mean.dtype) - self.mean) / self.spread, self.weight, self.bias)

    def predict(self, x: Tensor) -> Tensor:
        """Return the likeliest class [n] of each row of x [n, D]."""
        return self.scores(x).argmax(dim=-1)


def standardised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return x [n, D] with mean 0 and spread 1 in each feature, and the mean and the spread that were taken out."""
    mean, spread = x.mean(dim=0), x.std(dim=0, correction=0)
    spread = torch.where(spread > 1e-6 * (1 + mean.abs()), spread, torch.ones_like(spread))
    return (x - mean) / spread, mean, spread


@torch.no_grad()
def fit_logistic(x: Tensor, y: Tensor, classes: int, *, l2: float, max_steps: int = 100) -> LogisticRegression:
    """Return the minimum of mean cross-entropy + l2 / 2 |weight|^2 over examples x [n, D] with classes y [n].

    The problem is convex, and starts at zero: the same examples give the same probe. Products are made in float32 on
    the device of x, sums and L-BFGS (Liu and Nocedal 1989) are in float64.
    """
    z, mean, spread = standardised(x.float())
    right = F.one_hot(y, classes).to(z.dtype)
    width = z.shape[1]

    def at(flat: np.ndarray) -> tuple[Tensor, Tensor]:
        both = torch.as_tensor(flat, dtype=z.dtype, device=z.device).view(classes, width + 1)
        return both[:, :-1], both[:, -1]

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = at(flat)
        scores = F.linear(z, weight, bias).log_softmax(dim=-1)  # [n, C]
        loss = -(scores * right).sum(dim=-1, dtype=torch.float64).mean()
        off = (scores.exp() - right) / len(z)
        gradient = torch.cat([off.T @ z + l2 * weight, off.sum(dim=0).unsqueeze(1)], dim=1)
        return float(loss + l2 / 2 * weight.double().square().sum()), gradient.double().flatten().cpu().numpy()

    start = np.zeros(classes * (width + 1))
    options = {"maxiter": max_steps, "ftol": 1e-8, "gtol": 1e-5}
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    weight, bias = at(found.x)
    return LogisticRegression(weight, bias, mean, spread)
