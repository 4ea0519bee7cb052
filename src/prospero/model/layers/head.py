"""The product of the head: hidden states with one row of weights for each token of the vocabulary."""

from torch import Tensor, nn
from torch.nn import functional as F

ALIGNED_ROWS = 64
"""The tensor cores' fast kernels want rows of logits that begin at multiples of 128 bytes."""
LEAST_TOKENS = 512
"""For fewer tokens at a time the copy of the weights costs more than the slower product."""


def vocabulary_product(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return the logits [..., V] of `hidden` [..., D] with the matrix `weight` [V, D].

    On a GPU, and for many tokens, the product is made with V rounded up to a multiple of 64 by rows of zeros, whose
    logits nobody sees: the result is a view. GPT-2's 50,257 tokens took 62 ms of a step of 150 ms, 50,304 take 10
    (docs/PERFORMANCE.md).
    """
    missing = -weight.shape[0] % ALIGNED_ROWS
    plain = type(weight) in (Tensor, nn.Parameter)  # a weight that is spread over processes is cut by its rows
    if missing == 0 or weight.device.type != "cuda" or not plain or hidden.shape[:-1].numel() < LEAST_TOKENS:
        return F.linear(hidden, weight)
    return padded_product(hidden, weight, missing)


def padded_product(hidden: Tensor, weight: Tensor, rows: int) -> Tensor:
    """Return the same logits, as a view of those of `weight` and `rows` rows of zeros."""
    return F.linear(hidden, F.pad(weight, (0, 0, 0, rows)))[..., : weight.shape[0]]
