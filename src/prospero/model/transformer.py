"""The decoder-only Transformer (Vaswani et al. 2017; Radford et al. 2019; Touvron et al. 2023).

Read from the top: the settings, one block, the model. With the settings as they stand it is Llama, exactly; `qk_norm`
makes it Qwen3; `norm=layer position=learned activation=gelu bias=true tie_embeddings=true` makes it GPT-2.

Shapes: B batch, T time, D d_model, N heads, H head_dim, V vocabulary.
"""

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from prospero.errors import ConfigError
from prospero.model.base import LanguageModel, ModelOutput
from prospero.model.cache import KVCache
from prospero.model.layers.attention import Attention, AttentionKernel, Shared, document_mask, positions_in
from prospero.model.layers.feed_forward import Activation, FeedForward, default_d_ff
from prospero.model.layers.lookback import Lookback, Shift, Smear
from prospero.model.layers.norms import LayerNorm, Norm, RMSNorm, make_norm
from prospero.model.layers.rotary import rotation


class Position(Enum):
    """How the model knows the order of tokens."""

    rotary = "rotary"
    learned = "learned"


@dataclass(kw_only=True, slots=True)
class TransformerConfig:
    """Decoder-only Transformer; every switch of its blocks."""

    n_layers: int = 6
    """Number of blocks."""
    d_model: int = 384
    """Width of the residual stream."""
    n_heads: int = 6
    """Attention heads per block."""
    n_kv_heads: int | None = None
    """Heads of keys and values, shared among groups of queries; null: one per query head."""
    head_dim: int | None = None
    """Width of one head; null: d_model / n_heads."""
    d_ff: int | None = None
    """Inner width of the feed-forward layer; null: 4 d_model, for swiglu 8/3 d_model rounded up to a multiple of 64."""
    norm: Norm = Norm.rms
    """Normalisation before each layer: rms or layer."""
    norm_eps: float = 1e-5
    """Added to the variance, against division by zero."""
    position: Position = Position.rotary
    """rotary (no parameters) or learned (one vector per position)."""
    rope_theta: float = 10000.0
    """Longest wavelength of the rotary embedding, in tokens / 2 pi."""
    activation: Activation = Activation.swiglu
    """Of the feed-forward layer: swiglu, gelu or relu2."""
    qk_norm: bool = False
    """Normalise queries and keys per head, before the rotation."""
    tie_embeddings: bool = False
    """Use the embedding matrix as the output matrix too."""
    bias: bool = False
    """Give linear layers (not the head) and layer norms a bias."""
    dropout: float = 0.0
    """Share of activations dropped: embeddings, attention probabilities, the output of each layer."""
    init_std: float = 0.02
    """Standard deviation of the initial weights; outputs of layers have it divided by sqrt(2 n_layers)."""
    zero_init_outputs: bool = False
    """Start the outputs of layers (and an untied head) at zero, so that each block begins as the identity."""
    lookback: Lookback = Lookback.none
    """Mixing in the token before: none, smear (once, on the embeddings) or shift (before every layer)."""
    logit_softcap: float | None = None
    """Bound c on the size of logits, by c tanh(logit / c); null: no bound."""
    attention: AttentionKernel = AttentionKernel.auto
    """Attention kernel: sdpa, explicit, or auto (the faster one for the shapes, by numerics.py)."""
    document_attention: bool = False
    """Stop attention (and look-back) at the bounds of documents packed into one sequence; positions restart there."""
    activation_checkpointing: bool = False
    """Keep only the input of each block for the gradient and compute the rest again: less memory, more time."""

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} is impossible; choose at least 1")
        if self.head_dim is None and self.d_model % self.n_heads:
            allowed = ", ".join(str(n) for n in range(1, self.d_model + 1) if self.d_model % n == 0 and n <= 64)
            raise ConfigError(
                f"n_heads={self.n_heads} does not divide d_model={self.d_model}; choose n_heads from {allowed}, "
                "or set head_dim"
            )
        if self.n_kv_heads is not None and self.n_heads % self.n_kv_heads:
            allowed = ", ".join(str(n) for n in range(1, self.n_heads + 1) if self.n_heads % n == 0)
            raise ConfigError(
                f"n_kv_heads={self.n_kv_heads} does not divide n_heads={self.n_heads}; choose n_kv_heads from {allowed}"
            )
        if self.position is Position.rotary and self.head_width % 2:
            raise ConfigError(
                f"position=rotary needs an even head width, but it is {self.head_width} (d_model={self.d_model}, "
                f"n_heads={self.n_heads}); choose another n_heads, an even head_dim, or position=learned"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout} is impossible; choose a share from 0 to below 1")
        for name in ("norm_eps", "rope_theta", "init_std", "logit_softcap"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value} is impossible; choose a number above 0")

    @property
    def head_width(self) -> int:
        """head_dim, or what d_model and n_heads make of it."""
        return self.head_dim or self.d_model // self.n_heads

    def build(self, vocab_size: int, max_seq_len: int) -> "Transformer":
        """Build the model with fresh weights, on torch's current default device."""
        return Transformer(self, vocab_size, max_seq_len)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        c, self.layer = config, layer
        self.attention_norm = make_norm(c.norm, c.d_model, c.norm_eps, c.bias)
        self.attention = Attention(
            c.d_model,
            c.n_heads,
            c.n_kv_heads or c.n_heads,
            c.head_width,
            bias=c.bias,
            qk_norm_eps=c.norm_eps if c.qk_norm else None,
        )
        self.attention.dropout = c.dropout
        self.feed_forward_norm = make_norm(c.norm, c.d_model, c.norm_eps, c.bias)
        self.feed_forward = FeedForward(
            c.d_model, c.d_ff or default_d_ff(c.activation, c.d_model), c.activation, c.bias
        )
        shift = c.lookback is Lookback.shift
        self.attention_shift = Shift(c.d_model, f"attention.{layer}") if shift else None
        self.feed_forward_shift = Shift(c.d_model, f"feed_forward.{layer}") if shift else None
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """Refine x [B, T, D]."""
        y = self.attention_norm(x)
        if self.attention_shift is not None:
            y = self.attention_shift(y, shared)
        x = x + self.dropout(self.attention(y, shared, self.layer))
        y = self.feed_forward_norm(x)
        if self.feed_forward_shift is not None:
            y = self.feed_forward_shift(y, shared)
        return x + self.dropout(self.feed_forward(y))


class Transformer(LanguageModel):
    """Embedding, blocks, norm, head."""

    def __init__(self, config: TransformerConfig, vocab_size: int, max_seq_len: int) -> None:
        super().__init__(vocab_size, max_seq_len, config.d_model)
        c = self.config = config
        self.reads_document_ids, self.attention_choice = c.document_attention, c.attention.value
        self.embedding = nn.Embedding(vocab_size, c.d_model)
        self.positions = nn.Embedding(max_seq_len, c.d_model) if c.position is Position.learned else None
        self.smear = Smear(c.d_model) if c.lookback is Lookback.smear else None
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(Block(c, layer) for layer in range(c.n_layers))
        self.norm = make_norm(c.norm, c.d_model, c.norm_eps, c.bias)
        self.head = None if c.tie_embeddings else nn.Linear(c.d_model, vocab_size, bias=False)
        self.set_attention(AttentionKernel.sdpa if c.attention is AttentionKernel.auto else c.attention)
        self.reset_parameters()

    def forward(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits: bool = True,
    ) -> ModelOutput:
        """Read `input_ids` [B, T]; see `LanguageModel.forward`. Raises ValueError beyond `max_seq_len`."""
        positions, shared = self._prepare(input_ids, document_ids, cache)
        x = self.embedding(input_ids)  # [B, T, D]
        if self.positions is not None:
            x = x + self.positions(positions)
        if self.smear is not None:
            x = self.smear(x, shared)
        x = self.dropout(x)
        for block in self.blocks:
            if self.config.activation_checkpointing and self.training:
                x = checkpoint(block, x, shared, use_reentrant=False)
            else:
                x = block(x, shared)
        hidden = self.norm(x)
        if cache is not None:
            cache.advance(input_ids.shape[1])
        return ModelOutput(hidden, self.project(hidden) if logits else None, cache)

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., V] of `hidden` [..., D]."""
        logits = super().project(hidden)
        cap = self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def output_weight(self) -> Tensor:
        """Return the matrix [V, D] of the head."""
        return self.embedding.weight if self.head is None else self.head.weight

    def new_cache(self, batch_size: int, max_len: int) -> KVCache:
        """Return an empty cache of keys and values; its memory is taken when the first tokens come."""
        if max_len > self.max_seq_len:
            raise ValueError(f"a cache of {max_len} tokens exceeds max_seq_len={self.max_seq_len}")
        return KVCache(self.config.n_layers, batch_size, max_len)

    def set_attention(self, kernel: AttentionKernel) -> None:
        """Choose the attention kernel of every block."""
        for block in self._typed_blocks():
            block.attention.kernel = kernel

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all weights anew: normal with `init_std`; outputs of layers scaled by depth (GPT-2), or zero.

        A tied embedding starts smaller, at 2 / d_model: a token would otherwise find its own embedding in the head and
        predict itself, with a logit of init_std * d_model, and the first loss would be far above ln V.
        """
        c = self.config
        outputs = {m for block in self._typed_blocks() for m in (block.attention.out, block.feed_forward.down)}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = c.init_std / math.sqrt(2 * c.n_layers) if module in outputs else c.init_std
                zero = c.zero_init_outputs and (module in outputs or module is self.head)
                nn.init.zeros_(module.weight) if zero else nn.init.normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                tied = self.head is None and module is self.embedding
                nn.init.normal_(module.weight, std=min(c.init_std, 2 / c.d_model) if tied else c.init_std)
            elif isinstance(module, (RMSNorm, LayerNorm)):
                module.reset_parameters()
        for module in self.modules():  # after the plain layers: a look-back owns one and sets it differently
            if isinstance(module, (Smear, Shift)):
                module.reset_parameters()

    def _typed_blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def _prepare(self, input_ids: Tensor, document_ids: Tensor | None, cache: KVCache | None) -> tuple[Tensor, Shared]:
        """Return the positions of the tokens, and what all blocks share: rotation, mask, document starts."""
        time, device = input_ids.shape[1], input_ids.device
        held = 0 if cache is None else cache.length
        if held + time > self.max_seq_len:
            raise ValueError(f"{held + time} tokens exceed max_seq_len={self.max_seq_len}")
        if not self.config.document_attention:
            document_ids = None
        if cache is None:
            positions = torch.arange(time, device=device)
        else:
            if document_ids is not None:
                raise ValueError("a cache continues one document per row; give document_ids or a cache, not both")
            cache.reserve(time)
            positions = cache.positions(time, device)

        mask, starts = None, None
        dtype = self.embedding.weight.dtype
        if document_ids is not None:
            mask = document_mask(document_ids, dtype)
            starts = F.pad(document_ids[:, 1:] != document_ids[:, :-1], (1, 0), value=True)
            positions = positions_in(starts)
        elif cache is not None:
            mask = cache.mask(positions, dtype)

        angles = None
        if self.positions is None:
            angles = rotation(positions, self.config.head_width, self.config.rope_theta)
            if positions.dim() == 2:  # rows of a cache that differ in length: [B, T, H] -> [B, 1, T, H]
                angles = (angles[0].unsqueeze(1), angles[1].unsqueeze(1))
        return positions, Shared(angles, mask, mask is None and time > 1, starts, cache)
