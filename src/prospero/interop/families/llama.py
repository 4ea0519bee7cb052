"""Llama and what is like it: RMS norm or layer norm before each layer, rotary positions, one name for each matrix."""

from collections.abc import Callable, Mapping
from typing import Any

from prospero.errors import DataError
from prospero.interop.families.family import (
    ANY,
    GATED_ACTIVATIONS,
    PLAIN_ACTIVATIONS,
    Family,
    activation_named,
    biases,
    common_sizes,
    heads,
    layer_types,
    layer_windows,
    name_of_activation,
    sizes_written,
    the_window,
    tied,
)
from prospero.interop.families.rules import Rule, always, by_key, same, stacked
from prospero.interop.keys import Keys
from prospero.interop.rope import write_rope
from prospero.model.layers.attention import QKNormWidth
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import GATED
from prospero.model.layers.norms import Norm
from prospero.model.transformer import TransformerConfig

WINDOWS = frozenset({"none", "some", "all"})
"""One window, in any layers."""
PLAIN = frozenset(PLAIN_ACTIVATIONS.values())
HasBias = Callable[[Mapping[str, Any]], bool] | None


def top(norm_bias: HasBias = None) -> tuple[Rule, ...]:
    """The modules outside of the layers."""
    return (
        same("embedding", "model.embed_tokens"),
        same("norm", "model.norm", norm_bias),
        same("head", "lm_head"),
    )


def attention(qkv: HasBias = None, out: HasBias = None) -> tuple[Rule, ...]:
    """Attention with a matrix for each of queries, keys, values and output."""
    at = "model.layers.{i}.self_attn."
    return (
        *(same(f"attention.{part}", f"{at}{part}_proj", qkv) for part in "qkv"),
        same("attention.out", f"{at}o_proj", out),
        same("attention.q_norm", f"{at}q_norm"),
        same("attention.k_norm", f"{at}k_norm"),
    )


def norms(norm_bias: HasBias = None) -> tuple[Rule, ...]:
    """The norms before both parts of a layer."""
    return (
        same("attention_norm", "model.layers.{i}.input_layernorm", norm_bias),
        same("feed_forward_norm", "model.layers.{i}.post_attention_layernorm", norm_bias),
    )


def feed_forward(has_bias: HasBias = None, up: str = "up_proj", down: str = "down_proj") -> tuple[Rule, ...]:
    """The feed-forward layer, with a gate or without."""
    at = "model.layers.{i}.mlp."
    return (
        same("feed_forward.gate", f"{at}gate_proj", has_bias),
        same("feed_forward.up", f"{at}{up}", has_bias),
        same("feed_forward.down", f"{at}{down}", has_bias),
    )


def rope_of(config: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    """Return the keys of the rotation."""
    partial = (config.rotary_dim or config.head_width) / config.head_width
    return write_rope(config.rope_theta, config.rope_scaling, max_seq_len=max_seq_len, partial=partial)


def _read_llama(keys: Keys) -> dict[str, Any]:
    attention_bias = bool(keys.only("attention_bias", (True, False), False))
    feed_forward_bias = bool(keys.only("mlp_bias", (True, False), False))
    return {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-6, max_seq_len=2048),
        **heads(keys),
        **tied(keys, False),
        **biases(qkv=attention_bias, out=attention_bias, feed_forward=feed_forward_bias),
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
    }


def _write_llama(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    return {
        **sizes_written(c, max_seq_len, "rms_norm_eps"),
        **rope_of(c, max_seq_len),
        "attention_bias": c.has_bias("qkv") or c.has_bias("attention_out"),
        "mlp_bias": c.has_bias("feed_forward"),
        "hidden_act": name_of_activation(c.activation),
    }


_BY_KEYS = (
    *top(),
    *norms(),
    *attention(by_key("attention_bias"), by_key("attention_bias")),
    *feed_forward(by_key("mlp_bias")),
)
_FREE = {"head_dim": ANY, "n_kv_heads": ANY, "rope_scaling.kind": ANY}
_FREE_BIASES = {"qkv_bias": ANY, "attention_out_bias": ANY, "feed_forward_bias": ANY}

LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    rules=_BY_KEYS,
    fits={**_FREE, **_FREE_BIASES, "activation": GATED},
    read=_read_llama,
    write=_write_llama,
)


def _read_arcee(keys: Keys) -> dict[str, Any]:
    attention_bias = bool(keys.only("attention_bias", (True, False), False))
    feed_forward_bias = bool(keys.only("mlp_bias", (True, False), False))
    return {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-5, max_seq_len=4096),
        **heads(keys),
        **tied(keys, False),
        **biases(qkv=attention_bias, out=attention_bias, feed_forward=feed_forward_bias),
        "activation": activation_named(keys.take("hidden_act", "relu2"), PLAIN_ACTIVATIONS, keys, "hidden_act"),
    }


ARCEE = Family(
    model_type="arcee",
    architecture="ArceeForCausalLM",
    rules=_BY_KEYS,
    fits={**_FREE, **_FREE_BIASES, "activation": PLAIN},
    read=_read_arcee,
    write=_write_llama,
)


def _read_mistral(keys: Keys) -> dict[str, Any]:
    window = keys.whole("sliding_window", 4096 if "sliding_window" not in keys.values else None)
    return {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-6, max_seq_len=131072),
        **heads(keys),
        **tied(keys, False),
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
        "windows": [window] if window else [],
    }


def _write_mistral(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    written = _write_llama(c, max_seq_len) | {"sliding_window": the_window(c)}
    return {name: value for name, value in written.items() if name not in ("attention_bias", "mlp_bias")}


MISTRAL = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    rules=(*top(), *norms(), *attention(), *feed_forward()),
    fits={**_FREE, "activation": GATED, "windows": frozenset({"none", "all"})},
    read=_read_mistral,
    write=_write_mistral,
)


def _qwen_windows(keys: Keys, n_layers: int) -> list[int]:
    window = keys.whole("sliding_window", None)
    first = keys.take("max_window_layers", 28)
    if not keys.only("use_sliding_window", (True, False), False):
        window = None
    types = ["sliding_attention" if window and layer >= first else "full_attention" for layer in range(n_layers)]
    return layer_windows(keys, window, types)


def _read_qwen2(keys: Keys) -> dict[str, Any]:
    found = {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-6, max_seq_len=32768),
        **heads(keys),
        **tied(keys, False),
        **biases(qkv=True, out=False, feed_forward=False),
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
    }
    return {**found, "windows": _qwen_windows(keys, found["n_layers"])}


QWEN2 = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    rules=(*top(), *norms(), *attention(qkv=always), *feed_forward()),
    fits={},
    read=_read_qwen2,
    write=_write_llama,
    is_written=False,
)


def _read_qwen3(keys: Keys) -> dict[str, Any]:
    attention_bias = bool(keys.only("attention_bias", (True, False), False))
    found = {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-6, max_seq_len=32768),
        **heads(keys, head_dim=128),
        **tied(keys, False),
        **biases(qkv=attention_bias, out=attention_bias, feed_forward=False),
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
        "qk_norm": True,
    }
    return {**found, "windows": _qwen_windows(keys, found["n_layers"])}


def _write_qwen3(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    window = the_window(c)
    written = _write_llama(c, max_seq_len) | {"use_sliding_window": window is not None, "sliding_window": window}
    written |= {"max_window_layers": 0, "layer_types": layer_types(c)}
    return {name: value for name, value in written.items() if name != "mlp_bias"}


QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    rules=(
        *top(),
        *norms(),
        *attention(by_key("attention_bias"), by_key("attention_bias")),
        *feed_forward(),
    ),
    fits={
        **_FREE,
        "qkv_bias": ANY,
        "attention_out_bias": ANY,
        "activation": GATED,
        "qk_norm": "head",
        "windows": WINDOWS,
    },
    read=_read_qwen3,
    write=_write_qwen3,
)


def _read_phi3(keys: Keys) -> dict[str, Any]:
    window = keys.whole("sliding_window", None)
    return {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-5, max_seq_len=4096),
        **heads(keys),
        **tied(keys, False),
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
        "windows": [window] if window else [],
    }


def _write_phi3(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    written = _write_mistral(c, max_seq_len)
    return written | {"original_max_position_embeddings": max_seq_len, "pad_token_id": None}


PHI3 = Family(
    model_type="phi3",
    architecture="Phi3ForCausalLM",
    rules=(
        *top(),
        *norms(),
        stacked(("attention.q", "attention.k", "attention.v"), "model.layers.{i}.self_attn.qkv_proj"),
        same("attention.out", "model.layers.{i}.self_attn.o_proj"),
        stacked(("feed_forward.gate", "feed_forward.up"), "model.layers.{i}.mlp.gate_up_proj"),
        same("feed_forward.down", "model.layers.{i}.mlp.down_proj"),
    ),
    fits={
        "n_kv_heads": ANY,
        "activation": GATED,
        "rotary_dim": ANY,
        "rope_scaling.kind": frozenset({"none", "table"}),
        "windows": frozenset({"none", "all"}),
    },
    read=_read_phi3,
    write=_write_phi3,
)


def _read_olmo2(keys: Keys) -> dict[str, Any]:
    keys.only("attention_bias", (False,), False)
    return {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-5, max_seq_len=2048),
        **heads(keys),
        **tied(keys, False),
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
        "norm_place": NormPlace.post,
        "qk_norm": True,
        "qk_norm_width": QKNormWidth.all_heads,
    }


def _write_olmo2(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    written = _write_llama(c, max_seq_len)
    return {name: value for name, value in written.items() if name != "mlp_bias"}


OLMO2 = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    rules=(
        *top(),
        same("attention_output_norm", "model.layers.{i}.post_attention_layernorm"),
        same("feed_forward_output_norm", "model.layers.{i}.post_feedforward_layernorm"),
        *attention(),
        *feed_forward(),
    ),
    fits={**_FREE, "activation": GATED, "norm_place": "post", "qk_norm": "all_heads"},
    read=_read_olmo2,
    write=_write_olmo2,
)


def _read_starcoder2(keys: Keys) -> dict[str, Any]:
    window = keys.whole("sliding_window", None)
    bias = bool(keys.only("use_bias", (True, False), True))
    act = keys.take("hidden_act", "gelu_pytorch_tanh")
    return {
        **common_sizes(keys, eps_key="norm_epsilon", eps=1e-5, max_seq_len=4096),
        **heads(keys),
        **tied(keys, True),
        **biases(qkv=bias, out=bias, feed_forward=bias, norm=True),
        "norm": Norm.layer,
        "activation": activation_named(act, PLAIN_ACTIVATIONS, keys, "hidden_act"),
        "windows": [window] if window else [],
    }


def _write_starcoder2(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    return {
        **sizes_written(c, max_seq_len, "norm_epsilon"),
        **rope_of(c, max_seq_len),
        "use_bias": any(c.has_bias(part) for part in ("qkv", "attention_out", "feed_forward")),
        "hidden_act": name_of_activation(c.activation),
        "sliding_window": the_window(c),
        "residual_dropout": c.dropout,
        "embedding_dropout": c.dropout,
        "attention_dropout": c.dropout,
    }


STARCODER2 = Family(
    model_type="starcoder2",
    architecture="Starcoder2ForCausalLM",
    rules=(
        *top(always),
        *norms(always),
        *attention(by_key("use_bias"), by_key("use_bias")),
        *feed_forward(by_key("use_bias"), "c_fc", "c_proj"),
    ),
    fits={
        **_FREE,
        **_FREE_BIASES,
        "norm": frozenset({Norm.layer}),
        "activation": PLAIN,
        "windows": frozenset({"none", "all"}),
    },
    read=_read_starcoder2,
    write=_write_starcoder2,
)


def _read_stablelm(keys: Keys) -> dict[str, Any]:
    keys.only("use_parallel_residual", (False,), False)
    keys.only("qk_layernorm", (False,), False)
    bias = bool(keys.only("use_qkv_bias", (True, False), False))
    found = {
        **common_sizes(keys, eps_key="layer_norm_eps", eps=1e-5, max_seq_len=4096, partial=0.25),
        **heads(keys),
        **tied(keys, False),
        **biases(qkv=bias, out=False, feed_forward=False, norm=True),
        "norm": Norm.layer,
        "activation": activation_named(keys.take("hidden_act", "silu"), GATED_ACTIVATIONS, keys, "hidden_act"),
    }
    if "head_dim" in found:
        raise DataError(f"{keys.place} says head_dim={found['head_dim']}; this family has hidden_size / heads")
    return found


def _write_stablelm(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    written = sizes_written(c, max_seq_len, "layer_norm_eps") | rope_of(c, max_seq_len)
    partial = (c.rotary_dim or c.head_width) / c.head_width
    written["rope_parameters"] |= {"partial_rotary_factor": partial}
    written |= {"partial_rotary_factor": partial, "use_qkv_bias": c.has_bias("qkv"), "hidden_dropout": c.dropout}
    return written | {"hidden_act": name_of_activation(c.activation)}


STABLELM = Family(
    model_type="stablelm",
    architecture="StableLmForCausalLM",
    rules=(*top(always), *norms(always), *attention(qkv=by_key("use_qkv_bias")), *feed_forward()),
    fits={
        "norm": frozenset({Norm.layer}),
        "activation": GATED,
        "qkv_bias": ANY,
        "rotary_dim": ANY,
        "rope_scaling.kind": ANY,
        "n_kv_heads": ANY,
    },
    read=_read_stablelm,
    write=_write_stablelm,
)
