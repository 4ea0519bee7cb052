"""Fast decoding for Transformers: the weights packed once, no modules walked, keys and values in memory taken once.

Queries, keys and values are one product, gate and up another; the weight of a root-mean-square norm is multiplied into
the product behind it. The two channels that a rotation turns are put beside each other, in queries and keys alike, so
that it is one complex product. A step is the algebra of `Transformer.forward` but for the order of roundings. A model
with a switch that is not known here is decoded through its own `forward`; `why_not` names it.

Shapes: B rows, T time, S tokens held, D d_model, N heads, K key/value heads, H head_dim, V vocabulary.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prospero.errors import ConfigError
from prospero.generation.decoder import picked_log_probabilities
from prospero.generation.pictured import NO_PICTURE
from prospero.generation.products import Product, product_of
from prospero.generation.settings import Precision
from prospero.model.base import LanguageModel
from prospero.model.layers.feed_forward import GATED, Activation, apply_activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm, RMSNorm
from prospero.model.layers.rotary import rotation
from prospero.model.transformer import Block, Position, Transformer, TransformerConfig

TRAINING_ONLY = frozenset(
    ("dropout", "init_std", "zero_init_outputs", "attention", "document_attention", "activation_checkpointing")
)
"""Settings that change no text."""
SIZES = frozenset(("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff"))
SWITCHES = frozenset(
    (
        "norm", "norm_eps", "position", "rope_theta", "rope_scaling", "activation", "qk_norm", "embedding_scale",
        "tie_embeddings", "bias", "qkv_bias", "attention_out_bias", "feed_forward_bias", "norm_bias", "logit_softcap",
    )
)  # fmt: skip
KNOWN = TRAINING_ONLY | SIZES | SWITCHES
"""Settings that are followed here, or that concern training alone; any other has to stand at its default."""
VALUES: dict[str, tuple[Any, ...]] = {
    "norm": (Norm.rms, Norm.layer),
    "position": (Position.rotary, Position.learned),
    "activation": tuple(Activation),
}
"""The values known of settings that may get more."""
OF_MODEL = ("embedding.weight", "positions.weight", "norm.weight", "norm.bias", "head.weight")
OF_BLOCK = tuple(
    f"{layer}.{kind}"
    for layer in ("attention_norm", "feed_forward_norm", *(f"attention.{name}" for name in ("q", "k", "v", "out")),
                  *(f"feed_forward.{name}" for name in ("gate", "up", "down")))
    for kind in ("weight", "bias")
) + ("attention.q_norm.weight", "attention.k_norm.weight")  # fmt: skip
"""The parameters that a model may have."""
GROWTH = 256
"""Tokens by which the memory for keys and values grows."""

Normalise = Callable[[Tensor], Tensor]


def why_not(model: LanguageModel) -> str | None:
    """Return what of a model is not known here, None when the packed decoder can decode it."""
    if type(model) is not Transformer:
        return type(model).__name__
    if model.image_shape is not None:
        return "a picture before the text"
    defaults = TransformerConfig()
    for field in fields(model.config):
        value = getattr(model.config, field.name)
        at_default = value == getattr(defaults, field.name)
        if (field.name not in KNOWN and not at_default) or value not in VALUES.get(field.name, (value,)):
            return f"{field.name}={value.name if isinstance(value, Lookback) else value}"
    names = {*OF_MODEL, *(f"blocks.{layer}.{name}" for layer in range(model.config.n_layers) for name in OF_BLOCK)}
    for name, parameter in model.named_parameters():
        if name not in names:
            return f"the parameter {name}"
        if type(parameter) is not nn.Parameter:
            return f"{name} is a {type(parameter).__name__}"
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear:
            return f"{name} is a {type(module).__name__}"
    return None


@dataclass(slots=True, frozen=True)
class _Layer:
    """One block, packed."""

    attention_norm: Normalise
    qkv: Product
    qk_norm: Tensor | None
    """Weights of the norms of queries and keys, [N + K, H]."""
    out: Product
    feed_forward_norm: Normalise
    up: Product
    """Gate and up as one, where there is a gate."""
    down: Product


class PackedDecoder:
    """A Transformer's running batch; see `decoder.Decoder`. The weights are copied: later training does not show."""

    @torch.no_grad()
    def __init__(self, model: Transformer, precision: Precision = Precision.float32) -> None:
        if (odd := why_not(model)) is not None:
            raise ValueError(f"the packed decoder does not know {odd}")
        c = self.config = model.config
        self.window: int | None = model.max_seq_len
        self.precision, self.device = precision, model.device
        self.heads = (c.n_heads, c.n_kv_heads or c.n_heads, c.head_width)
        self.embedding = model.embedding.weight.detach()
        self.positions = None if model.positions is None else model.positions.weight.detach()
        self.turns = _rotation_table(model)
        self.layers = [_pack(block, c, precision) for block in model.blocks if isinstance(block, Block)]
        self.norm, folded = _norm(model.norm)
        self.head = product_of([model.output_weight() * folded], None, precision)
        self.cache = _StaticCache(c.n_layers, self.heads[1], self.heads[2], model.max_seq_len, model.device)

    @property
    def rows(self) -> int:
        """How many rows are in the batch."""
        return len(self.cache.lengths)

    def session(self) -> AbstractContextManager[Any]:
        """Nothing has to be set: there is no dropout here."""
        return nullcontext()

    @torch.inference_mode()
    def add(
        self, prompts: Sequence[Sequence[int]], copies: Sequence[int], images: Sequence[np.ndarray] | None = None
    ) -> Tensor:
        """Read the prompts side by side, filled up on the right, and put their keys and values below the others'."""
        if images is not None:
            raise ConfigError(NO_PICTURE)
        counts = [len(prompt) for prompt in prompts]
        hidden, held = self._read(prompts)
        last = hidden[torch.arange(len(prompts)), torch.tensor(counts, device=self.device) - 1]
        order = torch.tensor(list(copies), device=self.device)
        self.cache.join(held, [counts[copy] for copy in copies], order)
        return self._project(last)[order]

    @torch.inference_mode()
    def scores(self, ids: Sequence[int]) -> Tensor:
        """One pass over all of `ids`."""
        hidden, _ = self._read([ids])
        targets = torch.tensor(list(ids[1:]), device=self.device)
        return picked_log_probabilities(self._project, hidden[0, :-1], targets)

    @torch.inference_mode()
    def hidden(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        """One pass over all rows; attention reaches over the bounds of documents, as when text is written."""
        return self._read(input_ids.tolist())[0]

    @torch.inference_mode()
    def project(self, hidden: Tensor) -> Tensor:
        """The packed head."""
        return self._project(hidden)

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Keep the keys and values of `rows`."""
        self.cache.select(list(rows))

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """One token a row, [B]; returns the logits [B, V] of the next."""
        heads, kv_heads, width = self.heads
        rows, groups, cache = self.rows, heads // kv_heads, self.cache
        places, mask = cache.open()
        x = self._embedded(tokens.to(self.device))  # [B, D]
        if self.positions is not None:
            x = x + self.positions[places]
        turn = self._turn_of(places)  # [B, 1, H / 2]
        for index, layer in enumerate(self.layers):
            qkv = layer.qkv(layer.attention_norm(x)).reshape(rows, heads + 2 * kv_heads, width)
            qkv = self._turned(qkv, layer, turn)
            k, v = cache.write(index, qkv[:, heads:].view(rows, 2, kv_heads, width))
            # The queries that share a key stand where attention expects time: [B, K, N / K, H].
            q = qkv[:, :heads].view(rows, kv_heads, groups, width)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = layer.out(y.reshape(rows, heads * width), x)
            x = layer.down(self._activated(layer.up(layer.feed_forward_norm(x))), x)
        cache.close()
        return self._project(self.norm(x))

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, list[Tensor]]:
        """Return hidden [B, T, D] after the last norm, and keys and values [B, 2, K, T, H] of each layer."""
        heads, kv_heads, width = self.heads
        rows, time = len(prompts), max(len(prompt) for prompt in prompts)
        if self.window is not None and time > self.window:
            raise ValueError(f"{time} tokens exceed max_seq_len={self.window}")
        padded = [[*prompt, *[0] * (time - len(prompt))] for prompt in prompts]
        x = self._embedded(torch.tensor(padded, device=self.device))  # [B, T, D]
        if self.positions is not None:
            x = x + self.positions[:time]
        turn = self._turn_of(torch.arange(time, device=self.device))  # [T, 1, H / 2]
        x = x.view(rows * time, -1)
        held = []
        for layer in self.layers:
            qkv = layer.qkv(layer.attention_norm(x)).reshape(rows, time, heads + 2 * kv_heads, width)
            qkv = self._turned(qkv, layer, turn).transpose(1, 2)  # [B, N + 2K, T, H]
            q, k, v = qkv.split((heads, kv_heads, kv_heads), dim=1)
            held.append(torch.stack((k, v), dim=1))
            grouped = heads != kv_heads
            y = F.scaled_dot_product_attention(q, k, v, is_causal=time > 1, enable_gqa=grouped)
            x = layer.out(y.transpose(1, 2).reshape(rows * time, heads * width), x)
            x = layer.down(self._activated(layer.up(layer.feed_forward_norm(x))), x)
        return self.norm(x).view(rows, time, -1), held

    def _embedded(self, ids: Tensor) -> Tensor:
        x, scale = F.embedding(ids, self.embedding), self.config.embedding_scale
        return x if scale == 1.0 else x * scale

    def _turn_of(self, places: Tensor) -> Tensor | None:
        """Return the rotations [..., 1, H / 2] at `places`, the same for each head."""
        return None if self.turns is None else self.turns[places].unsqueeze(-2)

    def _turned(self, qkv: Tensor, layer: _Layer, turn: Tensor | None) -> Tensor:
        """Return q, k and v [..., N + 2K, H], of which q and k are normalised and rotated, in place where it can be."""
        if layer.qk_norm is not None:
            q_and_k = len(layer.qk_norm)
            qk = F.rms_norm(qkv[..., :q_and_k, :], qkv.shape[-1:], None, self.config.norm_eps) * layer.qk_norm
            qkv = torch.cat((qk, qkv[..., q_and_k:, :]), dim=-2)
        if turn is None:
            return qkv
        turning = qkv.view(*qkv.shape[:-1], -1, 2).narrow(-3, 0, self.heads[0] + self.heads[1])
        torch.view_as_complex(turning).mul_(turn)
        return qkv

    def _activated(self, x: Tensor) -> Tensor:
        activation = self.config.activation
        if activation in GATED:
            gate, up = x.chunk(2, dim=-1)
            return apply_activation(activation, gate).mul_(up)
        return apply_activation(activation, x)

    def _project(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., V] in float32."""
        logits, cap = self.head(hidden), self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)


class _StaticCache:
    """Keys and values of every layer in memory that is taken in large pieces; rows may differ in length."""

    def __init__(self, n_layers: int, kv_heads: int, width: int, window: int, device: torch.device) -> None:
        self.kv_heads, self.width, self.window, self.device = kv_heads, width, window, device
        self.lengths: list[int] = []
        self.held = [self._empty(0, 0) for _ in range(n_layers)]
        """Keys and values of each layer, [B, 2, K, S, H]."""
        self.mask = torch.empty(0, 0, device=device)
        """0 where a row holds a token, -inf elsewhere, [B, S]; kept only while rows differ in length."""
        self._ragged, self._longest = False, 0
        self._rows = torch.empty(0, dtype=torch.long, device=device)
        self._places = torch.empty(0, dtype=torch.long, device=device)  # of the next token of each row, [B]

    def open(self) -> tuple[Tensor, Tensor | None]:
        """Make room for one more token a row; return the place of each ([1] where all are equal) and the mask."""
        self._longest = max(self.lengths) + 1
        self._take(len(self.lengths), self._longest)
        if not self._ragged:
            return self._places[:1], None
        self.mask[self._rows, self._places] = 0
        return self._places, self.mask[:, None, None, : self._longest]

    def write(self, layer: int, new: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values [B, 2, K, H] at the places of `open`; return all held, [B, K, S, H] each."""
        held, rows = self.held[layer], len(self.lengths)
        if self._ragged:
            held[self._rows, :, :, self._places] = new
        else:
            held = held if len(held) == rows else held[:rows]
            held.select(3, self.lengths[0]).copy_(new)
        keys, values = held.narrow(0, 0, rows).narrow(3, 0, self._longest).unbind(1)
        return keys, values

    def close(self) -> None:
        """Count the tokens just written."""
        self.lengths = [length + 1 for length in self.lengths]
        self._places += 1

    def join(self, held: list[Tensor], lengths: list[int], order: Tensor) -> None:
        """Add rows: those numbered `order` of keys and values [P, 2, K, T, H], each `lengths` long."""
        first, time = len(self.lengths), held[0].shape[3]
        self._take(first + len(lengths), max([time, *self.lengths]))
        for own, new in zip(self.held, held):
            own[first : first + len(lengths), :, :, :time] = new[order]
        self.lengths += lengths
        self._count()

    def select(self, rows: list[int]) -> None:
        """Keep `rows` in their order."""
        if rows == list(range(len(self.lengths))):
            return
        held, index = max(self.lengths, default=0), torch.tensor(rows, dtype=torch.long, device=self.device)
        self._take(len(rows), held)
        for part in self.held if rows else ():
            part[: len(rows), :, :, :held] = part[index, :, :, :held]
        self.lengths = [self.lengths[row] for row in rows]
        self._count()

    def _count(self) -> None:
        self._ragged = len(set(self.lengths)) > 1
        self._places = torch.tensor(self.lengths, dtype=torch.long, device=self.device)
        self._rows = torch.arange(len(self.lengths), device=self.device)
        if self._ragged:
            ends, room = self._places.unsqueeze(1), torch.arange(self.held[0].shape[3], device=self.device)
            self.mask = torch.zeros(len(self.lengths), len(room), device=self.device)
            self.mask.masked_fill_(room >= ends, float("-inf"))

    def _take(self, rows: int, tokens: int) -> None:
        """Have memory for `rows` of `tokens`; what is held stays."""
        had_rows, had_tokens = self.held[0].shape[0], self.held[0].shape[3]
        if tokens > self.window:
            raise ValueError(f"the cache holds {self.window} tokens a row; {tokens} do not fit")
        if rows <= had_rows and tokens <= had_tokens:
            return
        rows = max(rows, had_rows)
        tokens = max(min(self.window, -(-tokens // GROWTH) * GROWTH), had_tokens)
        for index, old in enumerate(self.held):
            self.held[index] = self._empty(rows, tokens)
            self.held[index][:had_rows, :, :, :had_tokens] = old
        if self._ragged:
            self.mask = F.pad(self.mask, (0, tokens - had_tokens), value=float("-inf"))

    def _empty(self, rows: int, tokens: int) -> Tensor:
        return torch.zeros(rows, 2, self.kv_heads, tokens, self.width, device=self.device)


def _pack(block: Block, config: TransformerConfig, precision: Precision) -> _Layer:
    attention, feed_forward = block.attention, block.feed_forward
    order = _pairs(config) if config.position is Position.rotary else torch.arange(config.head_width)
    qk_norm = None
    if attention.q_norm is not None and attention.k_norm is not None:
        weights = [attention.q_norm.weight] * attention.n_heads + [attention.k_norm.weight] * attention.n_kv_heads
        qk_norm = torch.stack([weight.detach()[order.to(weight.device)] for weight in weights])
    attention_norm, before_attention = _norm(block.attention_norm)
    feed_forward_norm, before_feed_forward = _norm(block.feed_forward_norm)
    q, k = (_reordered(layer, order) for layer in (attention.q, attention.k))
    up = [feed_forward.up] if feed_forward.gate is None else [feed_forward.gate, feed_forward.up]
    return _Layer(
        attention_norm=attention_norm,
        qkv=_product([q, k, _parts(attention.v)], before_attention, precision),
        qk_norm=qk_norm,
        out=_product([_parts(attention.out)], 1.0, precision),
        feed_forward_norm=feed_forward_norm,
        up=_product([_parts(layer) for layer in up], before_feed_forward, precision),
        down=_product([_parts(feed_forward.down)], 1.0, precision),
    )


Parts = tuple[Tensor, Tensor | None]
"""Weight and bias."""


def _parts(layer: nn.Linear) -> Parts:
    return layer.weight, layer.bias


def _pairs(config: TransformerConfig) -> Tensor:
    """Return the order of a head's channels in which i and i + H / 2 stand beside each other."""
    return torch.arange(config.head_width).view(2, -1).t().flatten()


def _reordered(layer: nn.Linear, order: Tensor) -> Parts:
    """Return weight and bias with the channels of each head in another order; a product of q and k does not see it."""
    order = order.to(layer.weight.device)
    weight = layer.weight.view(-1, len(order), layer.weight.shape[1])[:, order].flatten(0, 1)
    return weight, None if layer.bias is None else layer.bias.view(-1, len(order))[:, order].flatten()


def _product(parts: list[Parts], folded: Tensor | float, precision: Precision) -> Product:
    biases = [bias for _, bias in parts if bias is not None]
    return product_of([weight * folded for weight, _ in parts], torch.cat(biases) if biases else None, precision)


def _norm(module: nn.Module) -> tuple[Normalise, Tensor | float]:
    """Return the norm, and what the columns of the product behind it are multiplied with."""
    if isinstance(module, nn.LayerNorm):
        shape, weight, eps = module.normalized_shape, module.weight.detach(), module.eps
        bias = None if module.bias is None else module.bias.detach()
        return (lambda x: F.layer_norm(x, shape, weight, bias, eps)), 1.0
    assert isinstance(module, RMSNorm)
    width = module.weight.shape[0]
    weight = module.weight.detach()
    # x / sqrt(|x|^2 / D + eps) = sqrt(D) x / sqrt(|x|^2 + D eps), the last root as that of two sides: three kernels.
    side = torch.tensor((width * module.eps) ** 0.5, device=weight.device)

    def normalise(x: Tensor) -> Tensor:
        return x / torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), side)

    return normalise, weight * width**0.5


def _rotation_table(model: Transformer) -> Tensor | None:
    """Return cos + i sin of the angles, [window, H / 2]."""
    if model.config.position is not Position.rotary:
        return None
    places = torch.arange(model.max_seq_len, device=model.device)
    c = model.config
    cos, sin = rotation(places, c.head_width, c.rope_theta, c.rope_scaling)
    half = sin.shape[-1] // 2
    return torch.complex(cos[:, :half], sin[:, :half])
