"""What a family of models is: names of tensors and settings, used for reading and for writing."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prospero.errors import DataError
from prospero.interop.families.rules import Rule
from prospero.interop.keys import Keys
from prospero.interop.rope import read_rope
from prospero.model.layers.feed_forward import GATED, Activation, default_d_ff
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import Scaling
from prospero.model.transformer import Position, TransformerConfig

ANY = object()
"""In `Family.fits`: every value."""

PLAIN_ACTIVATIONS = {
    "gelu_new": Activation.gelu,
    "gelu_pytorch_tanh": Activation.gelu,
    "gelu_fast": Activation.gelu,
    "gelu": Activation.gelu_exact,
    "relu": Activation.relu,
    "relu2": Activation.relu2,
    "silu": Activation.silu,
    "swish": Activation.silu,
}
GATED_ACTIVATIONS = {
    "silu": Activation.swiglu,
    "swish": Activation.swiglu,
    "gelu_pytorch_tanh": Activation.geglu,
    "gelu_new": Activation.geglu,
    "gelu": Activation.geglu_exact,
    "relu": Activation.reglu,
}
"""Their name -> ours; the first of several is the one that is written."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a config.json says, in our words."""

    config: TransformerConfig
    vocab_size: int
    max_seq_len: int


@dataclass(frozen=True, kw_only=True)
class Family:
    """A class of Transformers and the settings of ours that it has."""

    model_type: str
    architecture: str
    rules: tuple[Rule, ...]
    fits: Mapping[str, Any]
    """Name in `switches` -> the values that the class has, a set, or ANY; those left out must be neutral."""
    read: Callable[[Keys], dict[str, Any]]
    """Their keys -> arguments of TransformerConfig, and vocab_size and max_seq_len."""
    write: Callable[[TransformerConfig, int], dict[str, Any]]
    """(Ours, max_seq_len) -> their keys, but for those that all families have."""
    prefix: str = "model."
    """What stands before all names but the head's; files of the bare model leave it out."""
    buffers: str = r"rotary_emb\.inv_freq$"
    """Tensors in the files that are no weights (regular expression)."""
    is_written: bool = True
    """Whether models are exported as it. (Qwen 2 forces a tokenizer class of its own; Llama says the same.)"""

    def read_config(self, keys: Keys) -> Read:
        """Return our settings; DataError, by its name, for a key that is not understood."""
        found = self.read(keys)
        keys.finish()
        sizes = {name: found.pop(name) for name in ("vocab_size", "max_seq_len")}
        ratio = found.pop("rotary_ratio", 1.0)
        if ratio != 1.0:
            width = found.get("head_dim") or found["d_model"] // found["n_heads"]
            found["rotary_dim"] = int(width * ratio)
        return Read(TransformerConfig(**found), **sizes)

    def obstacles(self, config: TransformerConfig) -> list[str]:
        """Return the settings, as `name=value`, that keep `config` from being of this class; none when it fits."""
        found = []
        for name, value in switches(config).items():
            allowed = self.fits.get(name, NEUTRAL[name])
            fitting = allowed is ANY or (value in allowed if isinstance(allowed, frozenset | set) else value == allowed)
            if not fitting:
                found.append(_as_set(name, value, config))
        return found


NEUTRAL: dict[str, Any] = {
    "norm": frozenset({Norm.rms}),
    "norm_place": "pre",
    "position": frozenset({Position.rotary}),
    "activation": frozenset({Activation.swiglu}),
    "parallel_residual": False,
    "qk_norm": "none",
    "qkv_bias": False,
    "attention_out_bias": False,
    "feed_forward_bias": False,
    "embedding_scale": 1.0,
    "rotary_dim": None,
    "rope_scaling.kind": "none",
    "windows": "none",
    "window_rope_theta": None,
    "attention_softcap": None,
    "logit_softcap": None,
    "lookback": "none",
    "head_dim": None,
    "n_kv_heads": None,
    "tie_embeddings": ANY,
}
"""Switch -> the value at which it does nothing (or the one of Llama)."""


def switches(config: TransformerConfig) -> dict[str, Any]:
    """Return the settings that decide which class a model fits, with what is derived written out."""
    c = config
    learned = c.position is Position.learned
    return {
        "norm": c.norm,
        "norm_place": c.norm_place.value,
        "position": c.position,
        "activation": c.activation,
        "parallel_residual": c.parallel_residual,
        "qk_norm": c.qk_norm_width.value if c.qk_norm else "none",
        "qkv_bias": c.has_bias("qkv"),
        "attention_out_bias": c.has_bias("attention_out"),
        "feed_forward_bias": c.has_bias("feed_forward"),
        "embedding_scale": "sqrt(d_model)"
        if math.isclose(c.embedding_scale, math.sqrt(c.d_model), rel_tol=1e-6)
        else c.embedding_scale,
        "rotary_dim": None if c.rotary_dim in (None, c.head_width) else c.rotary_dim,
        "rope_scaling.kind": Scaling.none.value if learned else c.rope_scaling.kind.value,
        "windows": _windows_kind(c),
        "window_rope_theta": c.window_rope_theta,
        "attention_softcap": c.attention_softcap,
        "logit_softcap": c.logit_softcap,
        "lookback": c.lookback.value,
        "head_dim": c.head_width if c.head_width * c.n_heads != c.d_model else None,
        "n_kv_heads": None if c.n_kv_heads in (None, c.n_heads) else c.n_kv_heads,
        "tie_embeddings": c.tie_embeddings,
    }


def _as_set(name: str, value: Any, config: TransformerConfig) -> str:
    """Return a switch as it is set on the command line."""
    if name == "windows":
        return f"windows={config.windows}"
    if name == "qk_norm":
        return {"head": "qk_norm=true", "all_heads": "qk_norm_width=all_heads"}.get(value, "qk_norm=false")
    return f"{name}={value.value if isinstance(value, Enum) else value}"


def _windows_kind(c: TransformerConfig) -> str:
    found = {c.window(layer) for layer in range(c.n_layers)}
    if len(found - {0}) > 1:
        return "of several sizes"
    return "none" if found == {0} else "some" if 0 in found else "all"


def activation_named(name: Any, table: Mapping[str, Activation], keys: Keys, key: str) -> Activation:
    """Return our activation of their name; DataError for an unknown one."""
    if name not in table:
        raise DataError(f"{keys.place} says {key}={name}; Prospero knows {', '.join(table)}")
    return table[name]


def name_of_activation(activation: Activation) -> str:
    """Return their name of our activation."""
    table = GATED_ACTIVATIONS if activation in GATED else PLAIN_ACTIVATIONS
    return next(name for name, ours in table.items() if ours is activation)


def biases(*, qkv: bool, out: bool, feed_forward: bool, norm: bool | None = None) -> dict[str, Any]:
    """Return the settings of biases in the fewest words; `norm` None: the norms are of a kind without one."""
    said = {"qkv_bias": qkv, "attention_out_bias": out, "feed_forward_bias": feed_forward}
    said |= {} if norm is None else {"norm_bias": norm}
    common = sum(said.values()) > len(said) / 2
    return {"bias": common, **{name: value for name, value in said.items() if value != common}}


def common_sizes(keys: Keys, *, eps_key: str, eps: float, max_seq_len: int, **rope: float) -> dict[str, Any]:
    """Read the sizes that all later families spell in the same way."""
    found = {
        "n_layers": keys.whole("num_hidden_layers"),
        "d_model": keys.whole("hidden_size"),
        "n_heads": keys.whole("num_attention_heads"),
        "d_ff": keys.whole("intermediate_size"),
        "norm_eps": keys.number(eps_key, eps),
        "vocab_size": keys.whole("vocab_size"),
        "max_seq_len": keys.whole("max_position_embeddings", max_seq_len),
    }
    return found | read_rope(keys, **rope)


def heads(keys: Keys, *, kv: bool = True, head_dim: int | None = None) -> dict[str, Any]:
    """Read the number of heads of keys and values, and the width of a head."""
    n_heads = keys.whole("num_attention_heads")
    n_kv = keys.whole("num_key_value_heads", None) if kv else None
    width = keys.whole("head_dim", None) or head_dim
    found: dict[str, Any] = {"n_kv_heads": None if n_kv == n_heads else n_kv}
    if width is not None and width * n_heads != keys.whole("hidden_size"):
        found["head_dim"] = width
    return found


def tied(keys: Keys, default: bool) -> dict[str, Any]:
    """Read whether the head is the embedding."""
    return {"tie_embeddings": bool(keys.only("tie_word_embeddings", (True, False), default))}


def windows_of(layers: list[int]) -> list[int]:
    """Return the shortest list that repeats to `layers`; empty where no layer has a window."""
    if not any(layers):
        return []
    for length in range(1, len(layers) + 1):
        if all(layers[i] == layers[i % length] for i in range(len(layers))):
            return layers[:length]
    return layers


def layer_windows(keys: Keys, window: int | None, types: list[str]) -> list[int]:
    """Return the windows by `layer_types`, or `types` where that is not said."""
    said = keys.take("layer_types", None) or types
    kinds = {"full_attention": 0, "sliding_attention": window or 0}
    if not isinstance(said, list) or len(said) < len(types) or any(kind not in kinds for kind in said):
        known = ", ".join(kinds)
        raise DataError(f"{keys.place} says layer_types={str(said)[:80]}; Prospero knows {known}, one for each layer")
    return windows_of([kinds[kind] for kind in said[: len(types)]])


def layer_types(config: TransformerConfig) -> list[str]:
    """Return their `layer_types` of our windows."""
    layers = range(config.n_layers)
    return ["sliding_attention" if config.window(layer) else "full_attention" for layer in layers]


def the_window(config: TransformerConfig) -> int | None:
    """Return the window that all layers with one share; None without any."""
    return max((config.window(layer) for layer in range(config.n_layers)), default=0) or None


def inner_width(config: TransformerConfig) -> int:
    """Return d_ff, or what it is when it is not set."""
    return config.d_ff or default_d_ff(config.activation, config.d_model)


def sizes_written(config: TransformerConfig, max_seq_len: int, eps_key: str) -> dict[str, Any]:
    """Return the sizes as all later families spell them."""
    c = config
    return {
        "hidden_size": c.d_model,
        "num_hidden_layers": c.n_layers,
        "num_attention_heads": c.n_heads,
        "num_key_value_heads": c.n_kv_heads or c.n_heads,
        "head_dim": c.head_width,
        "intermediate_size": inner_width(c),
        "max_position_embeddings": max_seq_len,
        eps_key: c.norm_eps,
    }
