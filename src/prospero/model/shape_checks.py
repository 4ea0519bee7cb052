"""What the settings of a Transformer cannot be together."""

from typing import TYPE_CHECKING

from prospero.errors import ConfigError
from prospero.model.layers.attention import AttentionKernel, QKNormWidth
from prospero.model.layers.rotary import Scaling
from prospero.model.prefix import check_prefix

if TYPE_CHECKING:
    from prospero.model.transformer import TransformerConfig


def check_shapes(config: "TransformerConfig") -> None:
    """Raise ConfigError, with what is allowed, for settings that no Transformer can have."""
    c = config
    for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff"):
        value = getattr(c, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value} is impossible; choose at least 1")
    if not 0 <= c.dropout < 1:
        raise ConfigError(f"dropout={c.dropout} is impossible; choose a share from 0 to below 1")
    positive = ("norm_eps", "rope_theta", "init_std", "logit_softcap", "attention_softcap", "window_rope_theta")
    for name in (*positive, "embedding_scale"):
        value = getattr(c, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name}={value} is impossible; choose a number above 0")
    _check_heads(c)
    if c.position.value == "rotary":
        _check_rotation(c)
    else:
        _check_no_rotation(c)
    if any(window < 0 for window in c.windows):
        raise ConfigError(f"windows={c.windows} is impossible; a window is a number of tokens, or 0 for all of them")
    if len(c.windows) > c.n_layers:
        raise ConfigError(f"windows={c.windows} names more layers than n_layers={c.n_layers}")
    if c.window_rope_theta is not None and not any(c.windows):
        raise ConfigError(f"window_rope_theta={c.window_rope_theta} is for layers with a window; set windows")
    if c.attention_softcap is not None and c.attention is AttentionKernel.sdpa:
        raise ConfigError("attention=sdpa has no place for attention_softcap; choose attention=explicit or auto")
    if c.qk_norm_width is QKNormWidth.all_heads and not c.qk_norm:
        raise ConfigError("qk_norm_width=all_heads says how wide qk_norm is; set qk_norm=true")
    check_prefix(c)


def _check_heads(c: "TransformerConfig") -> None:
    if c.head_dim is None and c.d_model % c.n_heads:
        allowed = ", ".join(str(n) for n in range(1, c.d_model + 1) if c.d_model % n == 0 and n <= 64)
        raise ConfigError(
            f"n_heads={c.n_heads} does not divide d_model={c.d_model}; choose n_heads from {allowed}, or set head_dim"
        )
    if c.n_kv_heads is not None and c.n_heads % c.n_kv_heads:
        allowed = ", ".join(str(n) for n in range(1, c.n_heads + 1) if c.n_heads % n == 0)
        raise ConfigError(
            f"n_kv_heads={c.n_kv_heads} does not divide n_heads={c.n_heads}; choose n_kv_heads from {allowed}"
        )


def _check_rotation(c: "TransformerConfig") -> None:
    if c.rotary_dim is not None:
        if c.rotary_dim % 2 or not 2 <= c.rotary_dim <= c.head_width:
            raise ConfigError(
                f"rotary_dim={c.rotary_dim} is impossible; choose an even number from 2 to "
                f"the head width {c.head_width}"
            )
    elif c.head_width % 2:
        raise ConfigError(
            f"position=rotary needs an even head width, but it is {c.head_width} (d_model={c.d_model}, "
            f"n_heads={c.n_heads}); choose another n_heads, an even head_dim, or position=learned"
        )
    width = c.rotary_dim or c.head_width
    if c.rope_scaling.divisors and len(c.rope_scaling.divisors) != width // 2:
        raise ConfigError(
            f"rope_scaling.divisors are {len(c.rope_scaling.divisors)} numbers; a rotated width of {width} needs "
            f"{width // 2}"
        )


def _check_no_rotation(c: "TransformerConfig") -> None:
    """Learned positions turn nothing: what concerns the rotation would be set in vain."""
    turned = {
        "rotary_dim": c.rotary_dim is not None,
        "rope_scaling.kind": c.rope_scaling.kind is not Scaling.none,
        "window_rope_theta": c.window_rope_theta is not None,
    }
    for name, is_set in turned.items():
        if is_set:
            raise ConfigError(f"{name} is for position=rotary; with position={c.position.value} it would do nothing")
