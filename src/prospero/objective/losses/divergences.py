"""How far one distribution over tokens is from another: what a student that learns from a teacher makes smaller."""

from enum import Enum

import torch
from torch import Tensor


class Divergence(Enum):
    """t is the teacher's distribution, s the student's."""

    forward = "forward"
    """KL(t || s) = sum t log(t / s): the student covers all that the teacher might say."""
    reverse = "reverse"
    """KL(s || t) = sum s log(s / t): the student keeps to what the teacher would say."""
    jensen_shannon = "jensen_shannon"
    """(KL(t || m) + KL(s || m)) / 2 with m = (t + s) / 2: at most ln 2."""


def divergence(kind: Divergence, teacher: Tensor, student: Tensor) -> Tensor:
    """Return the divergence of each row, [N], of two tables of log-probabilities [N, K]; what is impossible adds 0."""
    if kind is Divergence.forward:
        return _kl(teacher, student)
    if kind is Divergence.reverse:
        return _kl(student, teacher)
    middle = torch.logaddexp(teacher, student) - torch.log(torch.tensor(2.0, device=student.device))
    return (_kl(teacher, middle) + _kl(student, middle)) / 2


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return sum p (log p - log q) over the last dimension."""
    possible = p > -torch.inf
    return torch.where(possible, p.exp() * (p - q), 0.0).sum(-1)
