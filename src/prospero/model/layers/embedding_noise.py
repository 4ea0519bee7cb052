"""Uniform noise on embeddings (NEFTune, Jain et al. 2023, arXiv:2310.05914, algorithm 1).

Shapes: B batch, T time, D d_model.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def with_noise(x: Tensor, alpha: float, document_ids: Tensor | None) -> Tensor:
    """Return x [B, T, D] with uniform noise within alpha / sqrt(L D), where L is the length of a token's document.

    Without `document_ids` [B, T], whose runs are the documents of a row, L is T. It is drawn by torch's random state.
    """
    size = alpha / (_lengths(x, document_ids) * x.shape[2]) ** 0.5
    return x + size * torch.empty_like(x).uniform_(-1, 1)


def _lengths(x: Tensor, document_ids: Tensor | None) -> Tensor:
    """Return the tokens of each token's document, [B, T, 1] or of one number."""
    if document_ids is None:
        return x.new_tensor(float(x.shape[1]))
    starts = document_ids[:, 1:] != document_ids[:, :-1]
    runs = F.pad(starts.long().cumsum(1), (1, 0))
    counts = x.new_zeros(x.shape[:2]).scatter_add_(1, runs, x.new_ones(x.shape[:2]))
    return counts.gather(1, runs).unsqueeze(2)
