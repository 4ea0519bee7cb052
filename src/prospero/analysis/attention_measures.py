"""A pattern of attention in numbers: where it looks, how far, how sharply, and what that makes over all layers.

Shapes: B rows, N heads, T places (each a query and a key), L layers. `weights` are attention's probabilities
[B, N, T, T], row t over the keys up to t.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def entropy(weights: Tensor) -> Tensor:
    """Return the entropy of each query's attention in nats [B, N, T]: 0 for one key, ln t for t keys alike."""
    return torch.special.entr(weights).sum(dim=-1)


def distance(weights: Tensor) -> Tensor:
    """Return how many tokens each query looks back in the mean [B, N, T]; 0: at itself."""
    places = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    return places - weights @ places


def sink_mass(weights: Tensor, first: Tensor) -> Tensor:
    """Return each query's attention on the first token that it may see [B, N, T] (Xiao et al. 2023, arXiv:2309.17453).

    `first` [B, T] is the place of that token: 0, or where the query's document begins.
    """
    return weights.gather(-1, first[:, None, :, None].expand(*weights.shape[:-1], 1)).squeeze(-1)


def previous_token(weights: Tensor) -> Tensor:
    """Return the attention of queries 1 .. T-1 on the token just before them, [B, N, T-1]."""
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1)


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """Return attention rollout [B, T, T]: how much each place of the last layer is made of each token.

    Abnar and Zuidema 2020 (arXiv:2005.00928): the product over layers of (mean over heads + identity) / 2, where the
    identity stands for the residual stream. Rows sum to 1.
    """
    rolled = None
    for weights in layers:
        step = weights.mean(dim=1)
        step = (step + torch.eye(step.shape[-1], dtype=step.dtype, device=step.device)) / 2
        rolled = step if rolled is None else step @ rolled
    if rolled is None:
        raise ValueError("a rollout needs one layer at least")
    return rolled


def first_places(document_ids: Tensor) -> Tensor:
    """Return for each token of `document_ids` [B, T] the place where its document begins, int64 [B, T]."""
    places = torch.arange(document_ids.shape[1], device=document_ids.device).expand_as(document_ids)
    starts = torch.ones_like(document_ids, dtype=torch.bool)
    starts[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return torch.where(starts, places, 0).cummax(dim=1).values
