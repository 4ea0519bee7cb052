"""The head's product: rows of zeros change neither the logits nor a gradient."""

import torch
from torch.nn import functional as F

from prospero.model.layers.head import padded_product, vocabulary_product


def logits_and_gradients(product):
    torch.manual_seed(3)
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    weight = torch.nn.Parameter(torch.randn(13, 8))
    logits = product(hidden, weight)
    (logits * torch.randn(2, 5, 13)).sum().backward()
    return logits, hidden.grad, weight.grad


def test_rows_of_zeros_change_nothing():
    padded = logits_and_gradients(lambda hidden, weight: padded_product(hidden, weight, 3))
    assert padded[0].shape == (2, 5, 13) and padded[0].stride() == (80, 16, 1)
    for ours, theirs in zip(padded, logits_and_gradients(F.linear), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_on_a_cpu_the_product_is_the_plain_one():
    hidden, weight = torch.randn(1024, 8), torch.randn(13, 8)
    assert vocabulary_product(hidden, weight).stride() == (13, 1)
