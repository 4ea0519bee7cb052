"""The decoder-only Transformer (Vaswani et al. 2017; Radford et al. 2019; Touvron et al. 2023).

Read from the top: the settings, the model; its block is in layers/block.py. With the settings as they stand it is
Llama, exactly; `qk_norm` makes it Qwen3; `norm=layer position=learned activation=gelu bias=true tie_embeddings=true`
makes it GPT-2. docs/MODELS.md has the settings of other families.

Shapes: B batch, T time, D d_model, N heads, H head_dim, V vocabulary.
"""

from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from prospero.model.base import LanguageModel, ModelOutput
from prospero.model.cache import KVCache
from prospero.model.initialization import draw_weights
from prospero.model.layers.attention import (
    AttentionKernel,
    QKNormWidth,
    Shared,
    document_mask,
    positions_in,
)
from prospero.model.layers.block import Block, NormPlace
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback, Smear
from prospero.model.layers.norms import Norm, make_norm
from prospero.model.layers.rotary import RopeScalingConfig
from prospero.model.layers.views import rotation_of, view_of
from prospero.model.prefix import PrefixConfig, image_prefix, prefix_mask
from prospero.model.shape_checks import check_shapes
from prospero.model.taps import ModulePoint, Point, Side


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
    norm_place: NormPlace = NormPlace.pre
    """Norms before each layer (pre), after it (post), or both (sandwich)."""
    parallel_residual: bool = False
    """Let attention and feed-forward layer read the same x, instead of one after the other."""
    position: Position = Position.rotary
    """rotary (no parameters) or learned (one vector per position)."""
    rope_theta: float = 10000.0
    """Longest wavelength of the rotary embedding, in tokens / 2 pi."""
    rotary_dim: int | None = None
    """Width of a head that is rotated, from its beginning; null: the whole head."""
    rope_scaling: RopeScalingConfig = field(default_factory=RopeScalingConfig)
    """How the wavelengths are stretched for texts longer than those of the training before."""
    windows: list[int] = field(default_factory=list)
    """Tokens that attention looks back on, its own included, layer by layer in turn; 0: all. [512, 0]: every other."""
    window_rope_theta: float | None = None
    """rope_theta of the layers with a window, then without scaling; null: as in the others."""
    activation: Activation = Activation.swiglu
    """Of the feed-forward layer: gated (swiglu, geglu, geglu_exact, reglu), or gelu, gelu_exact, relu2, relu, silu."""
    qk_norm: bool = False
    """Normalise queries and keys, before the rotation."""
    qk_norm_width: QKNormWidth = QKNormWidth.head
    """What qk_norm spans: each head by itself, or all_heads as one."""
    embedding_scale: float = 1.0
    """Factor of the embeddings where they enter (Gemma: the square root of d_model)."""
    tie_embeddings: bool = False
    """Use the embedding matrix as the output matrix too."""
    bias: bool = False
    """Give linear layers (not the head) and layer norms a bias; the next four say it for some of them."""
    qkv_bias: bool | None = None
    """A bias for queries, keys and values; null: as `bias`."""
    attention_out_bias: bool | None = None
    """A bias for the output of attention; null: as `bias`."""
    feed_forward_bias: bool | None = None
    """A bias for the feed-forward layer; null: as `bias`."""
    norm_bias: bool | None = None
    """A bias for layer norms; null: as `bias`."""
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
    attention_softcap: float | None = None
    """The same bound on the scores of attention, before the mask; it needs the explicit kernel."""
    attention: AttentionKernel = AttentionKernel.auto
    """Attention kernel: sdpa, explicit, or auto (the faster one for the shapes, by numerics.py)."""
    document_attention: bool = False
    """Stop attention (and look-back) at the bounds of documents packed into one sequence; positions restart there."""
    activation_checkpointing: bool = False
    """Keep only the input of each block for the gradient and compute the rest again: less memory, more time."""
    prefix: PrefixConfig = field(default_factory=PrefixConfig)
    """What stands before the text: nothing, or a picture."""

    def __post_init__(self) -> None:
        check_shapes(self)

    @property
    def head_width(self) -> int:
        """head_dim, or what d_model and n_heads make of it."""
        return self.head_dim or self.d_model // self.n_heads

    def has_bias(self, part: str) -> bool:
        """Whether `part`, one of qkv, attention_out, feed_forward and norm, has a bias."""
        own = {
            "qkv": self.qkv_bias,
            "attention_out": self.attention_out_bias,
            "feed_forward": self.feed_forward_bias,
            "norm": self.norm_bias,
        }[part]
        return self.bias if own is None else own

    def window(self, layer: int) -> int:
        """Return the window of a layer, 0 where it has none."""
        return self.windows[layer % len(self.windows)] if self.windows else 0

    def build(self, vocab_size: int, max_seq_len: int) -> "Transformer":
        """Build the model with fresh weights, on torch's current default device."""
        return Transformer(self, vocab_size, max_seq_len)


class Transformer(LanguageModel):
    """Embedding, blocks, norm, head."""

    def __init__(self, config: TransformerConfig, vocab_size: int, max_seq_len: int) -> None:
        super().__init__(vocab_size, max_seq_len, config.d_model)
        c = self.config = config
        self.reads_document_ids, self.attention_choice = c.document_attention, c.attention.value
        if c.attention_softcap is not None:
            self.attention_choice = AttentionKernel.explicit.value
        self.embedding = nn.Embedding(vocab_size, c.d_model)
        self.positions = nn.Embedding(max_seq_len, c.d_model) if c.position is Position.learned else None
        self.smear = Smear(c.d_model) if c.lookback is Lookback.smear else None
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(Block(c, layer) for layer in range(c.n_layers))
        self.norm = make_norm(c.norm, c.d_model, c.norm_eps, c.has_bias("norm"))
        self.head = None if c.tie_embeddings else nn.Linear(c.d_model, vocab_size, bias=False)
        self.set_attention(AttentionKernel.sdpa if c.attention is AttentionKernel.auto else c.attention)
        self._windows = sorted({c.window(layer) for layer in range(c.n_layers)})
        self.reset_parameters()
        self.prefix = image_prefix(c)  # last: the text's weights are drawn alike with and without it
        if self.prefix is not None:
            self.config = c = self.prefix.described
            self.image_shape, self.prefix_len = self.prefix.image_shape, self.prefix.length

    def forward(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: KVCache | None = None,
        logits: bool = True,
        images: Tensor | None = None,
    ) -> ModelOutput:
        """Read `input_ids` [B, T]; see `LanguageModel.forward`. Raises ValueError beyond `max_seq_len`."""
        seen = None if self.prefix is None or images is None else self.prefix(images)  # [B, P, D]
        n_seen = 0 if seen is None else seen.shape[1]
        positions, shared = self._prepare(input_ids, document_ids, cache, n_seen)
        dtype = self.embedding.weight.dtype
        views = {window: view_of(self.config, shared, positions, window, dtype) for window in self._windows}
        x = self.embedding(input_ids)  # [B, T, D]
        if self.config.embedding_scale != 1.0:
            x = x * self.config.embedding_scale
        x = self.noisy(x, document_ids)
        if self.positions is not None:
            x = x + self.positions(positions[..., n_seen:] - (n_seen if cache is None else cache.prefix))
        if self.smear is not None:
            x = self.smear(x, shared)
        x = self.dropout(x if seen is None else torch.cat((seen.to(x.dtype), x), dim=1))
        for layer, block in enumerate(self.blocks):
            view = views[self.config.window(layer)]
            if self.config.activation_checkpointing and self.training:
                x = checkpoint(block, x, view, use_reentrant=False)
            else:
                x = block(x, view)
        hidden = self.norm(x[:, n_seen:])
        if cache is not None:
            cache.advance(input_ids.shape[1] + n_seen)
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
        return KVCache(self.config.n_layers, batch_size, max_len + self.prefix_len)

    def described(self, settings: TransformerConfig) -> TransformerConfig:
        """Return the settings, with those of a vision model that was read from its folder."""
        return settings if self.prefix is None else self.config

    def set_attention(self, kernel: AttentionKernel) -> None:
        """Choose the attention kernel of every block."""
        for block in self._typed_blocks():
            block.attention.kernel = kernel

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        draw_weights(self)

    def points(self) -> dict[str, Point]:
        """Return the places at which a forward pass can be read and changed; hooks.py says what stands there."""
        found: dict[str, Point] = {"embedding": ModulePoint(self.blocks[0], Side.input)}
        for block in self._typed_blocks():
            found.update({f"block.{block.layer}.{name}": point for name, point in block.points().items()})
        return {**found, "hidden": ModulePoint(self.norm, Side.output)}

    def _typed_blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def _prepare(
        self, input_ids: Tensor, document_ids: Tensor | None, cache: KVCache | None, n_seen: int = 0
    ) -> tuple[Tensor, Shared]:
        """Return the positions of prefix and tokens, and what all blocks share: rotation, mask, document starts."""
        time, device = input_ids.shape[1] + n_seen, input_ids.device
        if cache is not None and n_seen:
            cache.begin_prefix(n_seen)
        held = 0 if cache is None else cache.length
        tokens = held + time - (n_seen if cache is None else cache.prefix)
        if tokens > self.max_seq_len:
            raise ValueError(f"{tokens} tokens exceed max_seq_len={self.max_seq_len}")
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
        if n_seen:
            mask = prefix_mask(time, n_seen, dtype, device)

        rotated = None if self.positions is not None else rotation_of(self.config, positions, 0)
        return positions, Shared(rotated, mask, mask is None and time > 1, starts, cache)
