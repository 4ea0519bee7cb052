"""Multinomial logistic regression by L-BFGS: the linear probe.

Shapes: n examples, D features, C classes.
"""

from dataclasses import dataclass

import torch
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


def fit_logistic(x: Tensor, y: Tensor, classes: int, *, l2: float, max_steps: int = 100) -> LogisticRegression:
    """Return the minimum of mean cross-entropy + l2 / 2 |weight|^2 over examples x [n, D] with classes y [n].

    The problem is convex, and starts at zero: the same examples give the same probe.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # A tensor of an inference mode cannot enter a graph, its copy can.
        z, mean, spread = standardised(x.detach().clone().float())
        y = y.detach().clone()
        weight = z.new_zeros(classes, z.shape[1]).requires_grad_()
        bias = z.new_zeros(classes).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [weight, bias],
            max_iter=max_steps,
            tolerance_grad=1e-5,
            tolerance_change=1e-8,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(F.linear(z, weight, bias), y) + l2 / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]
    return LogisticRegression(weight.detach(), bias.detach(), mean, spread)
