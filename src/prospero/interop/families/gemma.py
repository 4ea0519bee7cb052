"""Gemma 1 to 3: norms that multiply with 1 + weight, scaled embeddings, windows and caps.

The 1 and the scale of the scores are folded into our weights, exactly where the weights are float32.
"""

import math
from typing import Any

from prospero.errors import DataError
from prospero.interop.families.family import (
    ANY,
    GATED_ACTIVATIONS,
    Family,
    activation_named,
    common_sizes,
    heads,
    layer_types,
    layer_windows,
    name_of_activation,
    sizes_written,
    the_window,
    tied,
)
from prospero.interop.families.llama import feed_forward, rope_of
from prospero.interop.families.rules import Rule, plus_one, same, scale_of_queries, times
from prospero.interop.keys import Keys
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import GATED
from prospero.model.transformer import TransformerConfig

_AT = "model.layers.{i}."
_TOP = (same("embedding", "model.embed_tokens"), plus_one("norm", "model.norm"), same("head", "lm_head"))
_KVO = tuple(
    same(f"attention.{ours}", f"{_AT}self_attn.{theirs}_proj")
    for ours, theirs in (("k", "k"), ("v", "v"), ("out", "o"))
)
_Q = same("attention.q", f"{_AT}self_attn.q_proj")
_SANDWICH: tuple[Rule, ...] = (
    plus_one("attention_norm", f"{_AT}input_layernorm"),
    plus_one("attention_output_norm", f"{_AT}post_attention_layernorm"),
    plus_one("feed_forward_norm", f"{_AT}pre_feedforward_layernorm"),
    plus_one("feed_forward_output_norm", f"{_AT}post_feedforward_layernorm"),
)
_FITS: dict[str, Any] = {
    "activation": GATED,
    "embedding_scale": "sqrt(d_model)",
    "head_dim": ANY,
    "n_kv_heads": ANY,
}


def _read_common(keys: Keys, max_seq_len: int, **rope: float) -> dict[str, Any]:
    keys.only("attention_bias", (False,), False)
    keys.only("use_bidirectional_attention", (False, None), None)
    old, said = keys.take("hidden_act", None), keys.take("hidden_activation", None)
    if said is None:  # the "gelu" of the first files is the tanh form (transformers #29402)
        said = "gelu_pytorch_tanh" if old in (None, "gelu") else old
    found = {
        **common_sizes(keys, eps_key="rms_norm_eps", eps=1e-6, max_seq_len=max_seq_len, **rope),
        **heads(keys, head_dim=256),
        **tied(keys, True),
        "activation": activation_named(said, GATED_ACTIVATIONS, keys, "hidden_activation"),
    }
    return found | {"embedding_scale": math.sqrt(found["d_model"])}


def _write_common(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    name = name_of_activation(c.activation)
    return {
        **sizes_written(c, max_seq_len, "rms_norm_eps"),
        **rope_of(c, max_seq_len),
        "attention_bias": False,
        "hidden_act": name,
        "hidden_activation": name,
    }


GEMMA = Family(
    model_type="gemma",
    architecture="GemmaForCausalLM",
    rules=(
        *_TOP,
        plus_one("attention_norm", f"{_AT}input_layernorm"),
        plus_one("feed_forward_norm", f"{_AT}post_attention_layernorm"),
        _Q,
        *_KVO,
        *feed_forward(),
    ),
    fits=_FITS,
    read=lambda keys: _read_common(keys, 8192),
    write=_write_common,
)


def _read_gemma2(keys: Keys) -> dict[str, Any]:
    found = _read_common(keys, 8192)
    keys.number("query_pre_attn_scalar", 256)
    window = keys.whole("sliding_window", 4096 if "sliding_window" not in keys.values else None)
    types = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(found["n_layers"])]
    absent = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    caps = {name: keys.number(name, None if name in keys.values else value) for name, value in absent.items()}
    return {
        **found,
        "norm_place": NormPlace.sandwich,
        "windows": layer_windows(keys, window, types),
        "attention_softcap": caps["attn_logit_softcapping"],
        "logit_softcap": caps["final_logit_softcapping"],
    }


def _write_gemma2(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    return {
        **_write_common(c, max_seq_len),
        "query_pre_attn_scalar": c.head_width,
        "sliding_window": the_window(c) or max_seq_len,
        "layer_types": layer_types(c),
        "attn_logit_softcapping": c.attention_softcap,
        "final_logit_softcapping": c.logit_softcap,
    }


GEMMA2 = Family(
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    rules=(*_TOP, *_SANDWICH, times(_Q, scale_of_queries), *_KVO, *feed_forward()),
    fits={
        **_FITS,
        "norm_place": "sandwich",
        "windows": frozenset({"none", "some", "all"}),
        "attention_softcap": ANY,
        "logit_softcap": ANY,
    },
    read=_read_gemma2,
    write=_write_gemma2,
)


def _read_gemma3(keys: Keys) -> dict[str, Any]:
    local = _local_theta(keys)
    keys.only("attn_logit_softcapping", (None,), None)  # their class reads it and caps nothing
    found = _read_common(keys, 131072, theta=1e6)
    keys.number("query_pre_attn_scalar", 256)
    window = keys.whole("sliding_window", 4096)
    every = keys.whole("sliding_window_pattern", keys.whole("_sliding_window_pattern", 6))
    layers = range(1, found["n_layers"] + 1)
    types = ["sliding_attention" if layer % every else "full_attention" for layer in layers]
    windows = layer_windows(keys, window, types)
    return {
        **found,
        "norm_place": NormPlace.sandwich,
        "qk_norm": True,
        "windows": windows,
        "window_rope_theta": local if windows else None,
        "logit_softcap": keys.number("final_logit_softcapping", None),
    }


def _local_theta(keys: Keys) -> float:
    """Return the theta of layers with a window; the table that names both is replaced by that of the other layers."""
    local = keys.number("rope_local_base_freq", 10000.0)
    tables = keys.values.get("rope_parameters")
    if isinstance(tables, dict) and "sliding_attention" in tables:
        near = tables["sliding_attention"]
        if near.get("rope_type", "default") != "default":
            raise DataError(f"{keys.place} scales the rotation of the layers with a window; Prospero does not")
        keys.values["rope_parameters"] = tables.get("full_attention")
        return float(near["rope_theta"])
    return local


def _write_gemma3(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    written, local = _write_gemma2(c, max_seq_len), c.window_rope_theta or c.rope_theta
    far = written["rope_parameters"]
    written["rope_parameters"] = {
        "full_attention": far,
        "sliding_attention": {"rope_type": "default", "rope_theta": local},
    }
    del written["hidden_act"]
    return written | {"rope_local_base_freq": local}


GEMMA3 = Family(
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    rules=(
        *_TOP,
        *_SANDWICH,
        _Q,
        *_KVO,
        times(plus_one("attention.q_norm", f"{_AT}self_attn.q_norm"), scale_of_queries),
        plus_one("attention.k_norm", f"{_AT}self_attn.k_norm"),
        *feed_forward(),
    ),
    fits={
        **_FITS,
        "norm_place": "sandwich",
        "qk_norm": "head",
        "windows": frozenset({"some", "all", "none"}),
        "window_rope_theta": ANY,
        "rope_scaling.kind": ANY,
        "logit_softcap": ANY,
    },
    read=_read_gemma3,
    write=_write_gemma3,
)
