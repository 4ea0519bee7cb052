"""One block of the Transformer: attention and a feed-forward layer around the residual stream."""

from enum import Enum
from typing import TYPE_CHECKING

from torch import Tensor, nn

from prospero.model.layers.attention import Attention, Shared
from prospero.model.layers.feed_forward import FeedForward, default_d_ff
from prospero.model.layers.lookback import Lookback, Shift
from prospero.model.layers.norms import make_norm
from prospero.model.taps import InnerPoint, ModulePoint, Passage, Point, Side

if TYPE_CHECKING:
    from prospero.model.transformer import TransformerConfig


class NormPlace(Enum):
    """Where the norms of a layer stand: before it (pre), after it (post, OLMo 2), or both (sandwich, Gemma 2)."""

    pre = "pre"
    post = "post"
    sandwich = "sandwich"


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); or both at once, of the same x."""

    def __init__(self, config: "TransformerConfig", layer: int) -> None:
        super().__init__()
        c, self.layer, self.parallel = config, layer, config.parallel_residual

        def norm(place: NormPlace) -> nn.Module:
            wanted = c.norm_place in (place, NormPlace.sandwich)
            return make_norm(c.norm, c.d_model, c.norm_eps, c.has_bias("norm")) if wanted else nn.Identity()

        self.attention_norm = norm(NormPlace.pre)
        self.attention = Attention(
            c.d_model,
            c.n_heads,
            c.n_kv_heads or c.n_heads,
            c.head_width,
            bias=c.has_bias("qkv"),
            out_bias=c.has_bias("attention_out"),
            qk_norm_eps=c.norm_eps if c.qk_norm else None,
            qk_norm_width=c.qk_norm_width,
            softcap=c.attention_softcap,
        )
        self.attention.dropout = c.dropout
        self.attention_output_norm = norm(NormPlace.post)
        self.feed_forward_norm = norm(NormPlace.pre)
        width = c.d_ff or default_d_ff(c.activation, c.d_model)
        self.feed_forward = FeedForward(c.d_model, width, c.activation, c.has_bias("feed_forward"))
        self.feed_forward_output_norm = norm(NormPlace.post)
        shift = c.lookback is Lookback.shift
        self.attention_shift = Shift(c.d_model, f"attention.{layer}") if shift else None
        self.feed_forward_shift = Shift(c.d_model, f"feed_forward.{layer}") if shift else None
        self.dropout = nn.Dropout(c.dropout)
        self.middle = Passage()

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """Refine x [B, T, D]."""
        y = self.attention_norm(x)
        if self.attention_shift is not None:
            y = self.attention_shift(y, shared)
        after = self.middle(x + self.dropout(self.attention_output_norm(self.attention(y, shared, self.layer))))
        y = self.feed_forward_norm(x if self.parallel else after)
        if self.feed_forward_shift is not None:
            y = self.feed_forward_shift(y, shared)
        return after + self.dropout(self.feed_forward_output_norm(self.feed_forward(y)))

    def points(self) -> dict[str, Point]:
        """Return the places inside that can be read and changed, in their order; see hooks.py."""
        attention, feed_forward, inner = self.attention, self.feed_forward, ("queries", "keys", "values")
        return {
            "attention.input": ModulePoint(attention, Side.input),
            **{f"attention.{name}": InnerPoint(attention, name) for name in (*inner, "scores", "weights")},
            "attention.heads": ModulePoint(attention.out, Side.input, heads=attention.head_dim),
            "attention.output": ModulePoint(self.attention_output_norm, Side.output),
            "middle": ModulePoint(self.middle, Side.output),
            "feed_forward.input": ModulePoint(feed_forward, Side.input),
            "feed_forward.hidden": ModulePoint(feed_forward.down, Side.input),
            "feed_forward.output": ModulePoint(self.feed_forward_output_norm, Side.output),
            "residual": ModulePoint(self, Side.output),
        }
