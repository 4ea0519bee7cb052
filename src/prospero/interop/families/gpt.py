"""The older families: layer norm with biases and learned positions (GPT-2, GPT-Neo, OPT), and GPT-NeoX (Pythia)."""

import math
from typing import Any

from prospero.errors import DataError
from prospero.interop.families.family import (
    ANY,
    PLAIN_ACTIVATIONS,
    Family,
    activation_named,
    biases,
    common_sizes,
    heads,
    inner_width,
    name_of_activation,
    sizes_written,
    the_window,
    tied,
    windows_of,
)
from prospero.interop.families.rules import (
    Layout,
    always,
    by_key,
    per_head,
    same,
    times,
    transposed,
    without_first_rows,
)
from prospero.interop.keys import Keys
from prospero.interop.rope import write_rope
from prospero.model.layers.norms import Norm
from prospero.model.transformer import Position, TransformerConfig

_QKV = ("attention.q", "attention.k", "attention.v")
_PLAIN = frozenset(PLAIN_ACTIVATIONS.values())
_LEARNED: dict[str, Any] = {
    "norm": frozenset({Norm.layer}),
    "position": frozenset({Position.learned}),
    "activation": _PLAIN,
    "qkv_bias": ANY,
    "attention_out_bias": ANY,
    "feed_forward_bias": ANY,
}


def _read_gpt2(keys: Keys) -> dict[str, Any]:
    keys.only("scale_attn_weights", (True,), True)
    keys.only("scale_attn_by_inverse_layer_idx", (False,), False)
    act = keys.take("activation_function", "gelu_new")
    return {
        "n_layers": keys.whole("n_layer"),
        "d_model": keys.whole("n_embd"),
        "n_heads": keys.whole("n_head"),
        "d_ff": keys.whole("n_inner", None),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "vocab_size": keys.whole("vocab_size"),
        "max_seq_len": keys.whole("n_positions", 1024),
        "norm": Norm.layer,
        "position": Position.learned,
        "bias": True,
        "activation": activation_named(act, PLAIN_ACTIVATIONS, keys, "activation_function"),
        **tied(keys, True),
    }


def _write_gpt2(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    return {
        "n_layer": c.n_layers,
        "n_embd": c.d_model,
        "n_head": c.n_heads,
        "n_inner": inner_width(c),
        "layer_norm_epsilon": c.norm_eps,
        "n_positions": max_seq_len,
        "activation_function": name_of_activation(c.activation),
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), c.dropout),
    }


GPT2 = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    rules=(
        same("embedding", "transformer.wte"),
        same("positions", "transformer.wpe"),
        same("norm", "transformer.ln_f", always),
        same("head", "lm_head"),
        same("attention_norm", "transformer.h.{i}.ln_1", always),
        same("feed_forward_norm", "transformer.h.{i}.ln_2", always),
        transposed(_QKV, "transformer.h.{i}.attn.c_attn"),
        transposed(("attention.out",), "transformer.h.{i}.attn.c_proj"),
        transposed(("feed_forward.up",), "transformer.h.{i}.mlp.c_fc"),
        transposed(("feed_forward.down",), "transformer.h.{i}.mlp.c_proj"),
    ),
    fits={**_LEARNED, "n_kv_heads": ANY},
    read=_read_gpt2,
    write=_write_gpt2,
    prefix="transformer.",
    buffers=r"\.attn\.(masked_)?bias$",
)


def _unscaled(layout: Layout) -> float:
    """GPT-Neo does not divide scores by sqrt(H), ours does."""
    return math.sqrt(layout.ours.head_width)


def _read_gpt_neo(keys: Keys) -> dict[str, Any]:
    n_layers = keys.whole("num_layers")
    window, types = keys.whole("window_size", 256), keys.take("attention_types", [[["global", "local"], n_layers // 2]])
    try:
        kinds = [kind for pattern, times_ in types for _ in range(times_) for kind in pattern]
        layers = [{"global": 0, "local": window}[kind] for kind in kinds]
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{keys.place} says attention_types={str(types)[:60]}; global and local are known") from error
    if len(layers) != n_layers or keys.take("attention_layers", kinds) != kinds:
        raise DataError(f"{keys.place} has attention_types of {len(layers)} layers and num_layers={n_layers}")
    act = keys.take("activation_function", "gelu_new")
    return {
        "n_layers": n_layers,
        "d_model": keys.whole("hidden_size"),
        "n_heads": keys.whole("num_heads"),
        "d_ff": keys.whole("intermediate_size", None),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "vocab_size": keys.whole("vocab_size"),
        "max_seq_len": keys.whole("max_position_embeddings", 2048),
        "norm": Norm.layer,
        "position": Position.learned,
        **biases(qkv=False, out=True, feed_forward=True, norm=True),
        "activation": activation_named(act, PLAIN_ACTIVATIONS, keys, "activation_function"),
        "windows": windows_of(layers),
        **tied(keys, True),
    }


def _write_gpt_neo(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    kinds = ["local" if c.window(layer) else "global" for layer in range(c.n_layers)]
    return {
        "num_layers": c.n_layers,
        "hidden_size": c.d_model,
        "num_heads": c.n_heads,
        "intermediate_size": inner_width(c),
        "layer_norm_epsilon": c.norm_eps,
        "max_position_embeddings": max_seq_len,
        "window_size": the_window(c) or 256,
        "attention_types": [[kinds, 1]],
        "attention_layers": kinds,
        "activation_function": name_of_activation(c.activation),
        **dict.fromkeys(("resid_dropout", "embed_dropout", "attention_dropout"), c.dropout),
    }


GPT_NEO = Family(
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    rules=(
        same("embedding", "transformer.wte"),
        same("positions", "transformer.wpe"),
        same("norm", "transformer.ln_f", always),
        same("head", "lm_head"),
        same("attention_norm", "transformer.h.{i}.ln_1", always),
        same("feed_forward_norm", "transformer.h.{i}.ln_2", always),
        times(same("attention.q", "transformer.h.{i}.attn.attention.q_proj"), _unscaled),
        same("attention.k", "transformer.h.{i}.attn.attention.k_proj"),
        same("attention.v", "transformer.h.{i}.attn.attention.v_proj"),
        same("attention.out", "transformer.h.{i}.attn.attention.out_proj", always),
        same("feed_forward.up", "transformer.h.{i}.mlp.c_fc", always),
        same("feed_forward.down", "transformer.h.{i}.mlp.c_proj", always),
    ),
    fits={**_LEARNED, "qkv_bias": False, "windows": frozenset({"none", "some", "all"})},
    read=_read_gpt_neo,
    write=_write_gpt_neo,
    prefix="transformer.",
    buffers=r"\.attention\.(masked_)?bias$",
)


def _read_opt(keys: Keys) -> dict[str, Any]:
    keys.only("do_layer_norm_before", (True,), True)
    keys.only("_remove_final_layer_norm", (False,), False)
    keys.only("enable_bias", (True,), True)
    keys.only("layer_norm_elementwise_affine", (True,), True)
    width = keys.whole("hidden_size")
    keys.only("word_embed_proj_dim", (width,), width)
    act = keys.take("activation_function", "relu")
    return {
        "n_layers": keys.whole("num_hidden_layers"),
        "d_model": width,
        "n_heads": keys.whole("num_attention_heads"),
        "d_ff": keys.whole("ffn_dim"),
        "norm_eps": 1e-5,
        "vocab_size": keys.whole("vocab_size"),
        "max_seq_len": keys.whole("max_position_embeddings", 2048),
        "norm": Norm.layer,
        "position": Position.learned,
        "bias": True,
        "activation": activation_named(act, PLAIN_ACTIVATIONS, keys, "activation_function"),
        **tied(keys, True),
    }


def _write_opt(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": c.n_layers,
        "hidden_size": c.d_model,
        "word_embed_proj_dim": c.d_model,
        "num_attention_heads": c.n_heads,
        "ffn_dim": inner_width(c),
        "max_position_embeddings": max_seq_len,
        "activation_function": name_of_activation(c.activation),
        "do_layer_norm_before": True,
        **dict.fromkeys(("dropout", "attention_dropout"), c.dropout),
    }


_OPT = "model.decoder.layers.{i}."
OPT = Family(
    model_type="opt",
    architecture="OPTForCausalLM",
    rules=(
        same("embedding", "model.decoder.embed_tokens"),
        without_first_rows("positions", "model.decoder.embed_positions", 2),
        same("norm", "model.decoder.final_layer_norm", always),
        same("head", "lm_head"),
        same("attention_norm", f"{_OPT}self_attn_layer_norm", always),
        same("feed_forward_norm", f"{_OPT}final_layer_norm", always),
        *(same(f"attention.{part}", f"{_OPT}self_attn.{part}_proj", always) for part in "qkv"),
        same("attention.out", f"{_OPT}self_attn.out_proj", always),
        same("feed_forward.up", f"{_OPT}fc1", always),
        same("feed_forward.down", f"{_OPT}fc2", always),
    ),
    fits=_LEARNED,
    read=_read_opt,
    write=_write_opt,
    is_written=False,
)
"""Not written: what fits it fits GPT-2 too."""


def _read_neox(keys: Keys) -> dict[str, Any]:
    bias = bool(keys.only("attention_bias", (True, False), True))
    act = keys.take("hidden_act", "gelu")
    return {
        **common_sizes(keys, eps_key="layer_norm_eps", eps=1e-5, max_seq_len=2048, partial=0.25),
        **heads(keys, kv=False),
        **tied(keys, False),
        **biases(qkv=bias, out=bias, feed_forward=True, norm=True),
        "norm": Norm.layer,
        "parallel_residual": bool(keys.only("use_parallel_residual", (True, False), True)),
        "activation": activation_named(act, PLAIN_ACTIVATIONS, keys, "hidden_act"),
    }


def _write_neox(c: TransformerConfig, max_seq_len: int) -> dict[str, Any]:
    partial = (c.rotary_dim or c.head_width) / c.head_width
    written = sizes_written(c, max_seq_len, "layer_norm_eps")
    del written["num_key_value_heads"], written["head_dim"]
    written |= write_rope(c.rope_theta, c.rope_scaling, max_seq_len=max_seq_len, partial=partial)
    written["rope_parameters"] |= {"partial_rotary_factor": partial}
    return written | {
        "partial_rotary_factor": partial,
        "rotary_pct": partial,
        "rotary_emb_base": c.rope_theta,
        "hidden_act": name_of_activation(c.activation),
        "use_parallel_residual": c.parallel_residual,
        "attention_bias": c.has_bias("qkv") or c.has_bias("attention_out"),
        **dict.fromkeys(("hidden_dropout", "attention_dropout"), c.dropout),
    }


_NEOX = "gpt_neox.layers.{i}."
GPT_NEOX = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    rules=(
        same("embedding", "gpt_neox.embed_in"),
        same("norm", "gpt_neox.final_layer_norm", always),
        same("head", "embed_out"),
        same("attention_norm", f"{_NEOX}input_layernorm", always),
        same("feed_forward_norm", f"{_NEOX}post_attention_layernorm", always),
        per_head(_QKV, f"{_NEOX}attention.query_key_value", by_key("attention_bias")),
        same("attention.out", f"{_NEOX}attention.dense", by_key("attention_bias")),
        same("feed_forward.up", f"{_NEOX}mlp.dense_h_to_4h", always),
        same("feed_forward.down", f"{_NEOX}mlp.dense_4h_to_h", always),
    ),
    fits={
        "norm": frozenset({Norm.layer}),
        "activation": _PLAIN,
        "qkv_bias": ANY,
        "attention_out_bias": ANY,
        "feed_forward_bias": ANY,
        "parallel_residual": ANY,
        "rotary_dim": ANY,
        "rope_scaling.kind": ANY,
    },
    read=_read_neox,
    write=_write_neox,
    prefix="gpt_neox.",
    buffers=r"(\.attention\.(masked_)?bias|rotary_emb\.inv_freq)$",
)
