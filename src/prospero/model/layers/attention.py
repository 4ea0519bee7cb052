"""Causal self-attention with grouped queries (Ainslie et al. 2023, arXiv:2305.13245), by two kernels."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from prospero.model.cache import KVCache
from prospero.model.layers.norms import RMSNorm
from prospero.model.layers.rotary import rotate
from prospero.model.taps import Tap


class AttentionKernel(Enum):
    """How softmax(q k^T) v is computed; `auto` is decided by numerics.py, and is sdpa until then."""

    auto = "auto"
    sdpa = "sdpa"
    explicit = "explicit"


class QKNormWidth(Enum):
    """What a norm of queries and keys spans: each head by itself (Qwen 3) or all heads as one (OLMo 2)."""

    head = "head"
    all_heads = "all_heads"


@dataclass(slots=True)
class Shared:
    """What all layers of one forward pass have in common (all with the same window)."""

    rotation: tuple[Tensor, Tensor] | None
    """Cosine and sine of the positions, [T, R] or [B, 1, T, R] with R <= H; None with learned positions."""
    mask: Tensor | None
    """0 where a query may look and -inf elsewhere, [T, S] or [B, 1, T, S]; None: no bound but `causal`."""
    causal: bool
    """Whether a query sees only keys up to its own place (False where `mask` says it, or when there is one query)."""
    starts: Tensor | None
    """True where a token opens a document, [B, T]; None where rows are one document."""
    cache: KVCache | None


class Attention(nn.Module):
    """Multi-head attention [B, T, D] -> [B, T, D]; `n_kv_heads` < `n_heads` shares keys and values among queries."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        *,
        bias: bool,
        out_bias: bool | None = None,
        qk_norm_eps: float | None,
        qk_norm_width: QKNormWidth = QKNormWidth.head,
        softcap: float | None = None,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = n_heads, n_kv_heads, head_dim
        self.q = nn.Linear(d_model, n_heads * head_dim, bias=bias)
        self.k = nn.Linear(d_model, n_kv_heads * head_dim, bias=bias)
        self.v = nn.Linear(d_model, n_kv_heads * head_dim, bias=bias)
        self.out = nn.Linear(n_heads * head_dim, d_model, bias=bias if out_bias is None else out_bias)
        # Norms of queries and keys (Henry et al. 2020, arXiv:2010.04245).
        self.whole_norm = qk_norm_width is QKNormWidth.all_heads
        q_width, k_width = (n_heads * head_dim, n_kv_heads * head_dim) if self.whole_norm else (head_dim, head_dim)
        self.q_norm = RMSNorm(q_width, qk_norm_eps) if qk_norm_eps is not None else None
        self.k_norm = RMSNorm(k_width, qk_norm_eps) if qk_norm_eps is not None else None
        self.softcap = softcap
        self.dropout = 0.0
        self.kernel = AttentionKernel.sdpa
        self.tap: Tap | None = None

    def forward(self, x: Tensor, shared: Shared, layer: int) -> Tensor:
        """Let each position of x look back; `layer` is this layer's place in the cache."""
        batch, time, _ = x.shape
        # -1 and not n_heads: where heads are shared out among processes, each computes those it holds.
        q, k = self.q(x), self.k(x)
        if self.whole_norm and self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.view(batch, time, -1, self.head_dim), k.view(batch, time, -1, self.head_dim)
        v = self.v(x).view(batch, time, -1, self.head_dim).transpose(1, 2)  # [B, K, T, H]
        if not self.whole_norm and self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.transpose(1, 2), k.transpose(1, 2)  # [B, N, T, H], [B, K, T, H]
        if shared.rotation is not None:
            q, k = rotate(q, *shared.rotation), rotate(k, *shared.rotation)
        if shared.cache is not None:
            k, v = shared.cache.update(layer, k, v)
        dropout = self.dropout if self.training else 0.0
        if self.tap is None:
            y = attend(q, k, v, shared.mask, shared.causal, dropout, self.kernel, self.softcap)
        else:
            y = attend_tapped(q, k, v, shared.mask, shared.causal, dropout, self.softcap, self.tap)
        return self.out(y.transpose(1, 2).reshape(batch, time, -1))

    def extra_repr(self) -> str:
        return f"n_heads={self.n_heads}, n_kv_heads={self.n_kv_heads}, head_dim={self.head_dim}"


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    causal: bool,
    dropout: float,
    kernel: AttentionKernel,
    softcap: float | None = None,
) -> Tensor:
    """Return softmax(q k^T / sqrt(H)) v, [B, N, T, H], of q [B, N, T, H] and k, v [B, K, S, H].

    `causal` needs T == S. `mask` is added to the scores. Both kernels drop probabilities with rate `dropout`.
    `softcap` c bounds the scores by c tanh(score / c), which is explicit whatever the kernel: sdpa has no place for it.
    """
    grouped = q.shape[1] != k.shape[1]
    if kernel is not AttentionKernel.explicit and softcap is None:
        mask = mask if mask is None else mask.to(q.dtype)
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, dropout_p=dropout, enable_gqa=grouped
        )
    if grouped:
        k, v = _for_each_query(q, k), _for_each_query(q, v)
    if causal:
        mask = causal_mask(q.shape[2], q.dtype, q.device)
        if dropout == 0.0 and softcap is None and not torch.compiler.is_compiling():
            return _BlockwiseCausal.apply(q, k, v, mask)
    probabilities = F.dropout(_scores(q, k, mask, softcap).softmax(dim=-1), dropout)
    return torch.matmul(probabilities.to(v.dtype), v)


def attend_tapped(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    causal: bool,
    dropout: float,
    softcap: float | None,
    tap: Tap,
) -> Tensor:
    """Return what `attend` does, with queries, keys, values, scores and weights passed through `tap` on the way."""
    q, k, v = tap("queries", q), tap("keys", k), tap("values", v)
    if not tap.wants("scores", "weights"):
        return attend(q, k, v, mask, causal, dropout, AttentionKernel.sdpa, softcap)
    if causal:
        mask = causal_mask(q.shape[2], q.dtype, q.device)
    scores = tap("scores", _scores(q, _for_each_query(q, k), mask, softcap))
    weights = tap("weights", scores.softmax(dim=-1))
    return torch.matmul(F.dropout(weights, dropout).to(v.dtype), _for_each_query(q, v))


def _for_each_query(q: Tensor, shared: Tensor) -> Tensor:
    """Return keys or values [B, K, S, H] for each head of q, [B, N, S, H]."""
    return shared if q.shape[1] == shared.shape[1] else shared.repeat_interleave(q.shape[1] // shared.shape[1], dim=1)


def _scores(q: Tensor, k: Tensor, mask: Tensor | None, softcap: float | None) -> Tensor:
    """Return what the softmax is taken of, [B, N, T, S]."""
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-2, -1))
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    return scores if mask is None else scores + mask


def causal_mask(time: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [T, T] with 0 on and under the diagonal and -inf above it."""
    return torch.full((time, time), float("-inf"), dtype=dtype, device=device).triu_(1)


class _BlockwiseCausal(torch.autograd.Function):
    """Causal attention in blocks of queries, each against the keys up to its end only.

    Nearly half of the scores are never computed, nor kept for the gradient, and a block's scores stay near the
    processor: on CPU about a quarter faster than the whole square (T = 256), and both beat SDPA at head_dim 64.
    """

    BLOCK = 64

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        shape, (time, width) = q.shape, q.shape[-2:]
        q, k, v = (x.reshape(-1, time, width) for x in (q, k, v))  # [BN, T, H]
        y, kept = torch.empty_like(q), []
        with torch.autocast(q.device.type, enabled=False):
            for start in range(0, time, _BlockwiseCausal.BLOCK):
                end = min(start + _BlockwiseCausal.BLOCK, time)
                keys = k[:, :end].transpose(1, 2)
                scores = torch.baddbmm(mask[start:end, :end], q[:, start:end], keys, alpha=width**-0.5)
                kept.append(torch.softmax(scores, dim=-1))
                y[:, start:end] = torch.bmm(kept[-1], v[:, :end])
        ctx.save_for_backward(q, k, v, *kept)
        return y.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *kept = ctx.saved_tensors
        shape, (time, width) = grad.shape, grad.shape[-2:]
        grad = grad.reshape(-1, time, width)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block, probabilities in enumerate(kept):
            start, end = block * _BlockwiseCausal.BLOCK, block * _BlockwiseCausal.BLOCK + probabilities.shape[1]
            piece = grad[:, start:end]
            grad_p = torch.bmm(piece, v[:, :end].transpose(1, 2))
            grad_s = torch.ops.aten._softmax_backward_data(grad_p, probabilities, -1, probabilities.dtype)
            grad_q[:, start:end] = torch.bmm(grad_s, k[:, :end])
            grad_k[:, :end] += torch.bmm(grad_s.transpose(1, 2), q[:, start:end])
            grad_v[:, :end] += torch.bmm(probabilities.transpose(1, 2), piece)
        scale = width**-0.5
        return grad_q.mul_(scale).view(shape), grad_k.mul_(scale).view(shape), grad_v.view(shape), None


def window_mask(time: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [T, T] with 0 for the key of a query's own place and the `window` - 1 before it, -inf elsewhere."""
    allowed = torch.ones(time, time, dtype=torch.bool, device=device).tril().triu(1 - window)
    return torch.zeros(time, time, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))


def document_mask(document_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Return [B, 1, T, T]: 0 where the key is of the query's document and not later, -inf elsewhere."""
    time = document_ids.shape[1]
    same = document_ids.unsqueeze(2) == document_ids.unsqueeze(1)
    allowed = same.tril() if time > 1 else same
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, float("-inf")).unsqueeze(1)


def positions_in(starts: Tensor) -> Tensor:
    """Return int64 [B, T]: the place of each token in its document, of which `starts` [B, T] marks the first tokens."""
    places = torch.arange(starts.shape[1], device=starts.device)
    return places - torch.where(starts, places, 0).cummax(dim=1).values
