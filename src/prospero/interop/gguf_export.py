"""`to=gguf`: one file for llama.cpp and what is built on it (ollama, LM Studio, gpt4all): weights, settings, tokenizer.

The names of settings and tensors are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the three
architectures are those of llama.cpp that compute what the Transformer with some settings computes.

Shapes: N heads, K key/value heads, H head_dim, D d_model.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.interop.formats import Exported
from prospero.interop.gguf_tokenizer import gguf_tokenizer
from prospero.interop.output import new_file
from prospero.interop.settings import ExportConfig, ExportDtype
from prospero.model.layers.block import Block
from prospero.model.layers.feed_forward import Activation, default_d_ff
from prospero.model.layers.norms import Norm
from prospero.model.transformer import Position, Transformer, TransformerConfig
from prospero.plain import plain

if TYPE_CHECKING:
    from gguf import GGUFWriter

SAID = {"n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "norm_eps", "rope_theta", "tie_embeddings"}
"""Settings that every architecture here has a field for."""
OF_TRAINING = {
    "dropout",
    "init_std",
    "zero_init_outputs",
    "attention",
    "document_attention",
    "activation_checkpointing",
}
"""Settings that change nothing in a text that is read."""
CHOOSING = {"norm", "position", "activation", "qk_norm", "bias"} | {
    "qkv_bias",
    "attention_out_bias",
    "feed_forward_bias",
    "norm_bias",
}
"""Settings that choose the architecture, or that it takes as they come (llama: biases there or not, gpt2: zeros)."""
FILE_TYPES = {ExportDtype.float32: 0, ExportDtype.float16: 1, ExportDtype.q8_0: 7}
"""llama.cpp's numbers (llama_ftype) for the type of most tensors."""
Q8_BLOCK = 32
"""Numbers of a row that share a scale in Q8_0."""


def write_gguf(exported: Exported, out: Path, settings: ExportConfig) -> str:
    """Write the model to the file `out`, whole or not at all; ConfigError for what GGUF cannot say."""
    model, tokenizer = exported.model, exported.tokenizer
    dtype = ExportDtype.float32 if settings.dtype is ExportDtype.keep else settings.dtype
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("to=gguf needs the package gguf, which is not installed: pip install 'prospero[gguf]'")
    if not isinstance(model, Transformer):
        name = exported.description["model"]["name"]
        raise ConfigError(f"to=gguf knows Transformers only, and this model is '{name}'; to=onnx takes recurrent ones")
    if dtype not in FILE_TYPES:
        known = ", ".join(kind.value for kind in FILE_TYPES)
        raise ConfigError(f"dtype={dtype.value}: to=gguf writes {known}")
    if tokenizer is None:
        raise ConfigError("to=gguf needs a tokenizer in the file, and this model has none; give the run's folder")
    if out.suffix != ".gguf":
        raise ConfigError(f"out={out}: to=gguf writes a file; give it a name that ends in .gguf")
    architecture, words = architecture_of(model.config), gguf_tokenizer(tokenizer, model.vocab_size)
    with new_file(out) as file:
        from gguf import GGUFWriter

        writer = GGUFWriter(file, architecture)
        _add_settings(writer, model, out.stem)
        writer.add_file_type(FILE_TYPES[dtype])
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(words.pre)
        writer.add_token_list(words.tokens)
        writer.add_token_types(words.kinds)
        writer.add_token_merges(words.merges)
        writer.add_bos_token_id(words.eos_id if words.bos_id is None else words.bos_id)
        writer.add_eos_token_id(words.eos_id)
        writer.add_add_bos_token(words.bos_id is not None)
        kept = sum(_add_tensor(writer, name, array, dtype) for name, array in tensors(model, architecture))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    odd = f", {kept} matrices in float16 (their rows are no multiple of {Q8_BLOCK})" if kept else ""
    return f"architecture {architecture}, {dtype.value}{odd}, tokenizer {words.pre}"


def architecture_of(config: TransformerConfig) -> str:
    """Return llama.cpp's name of what the settings make; ConfigError, which names the setting, where it has none."""
    c, usual = config, TransformerConfig()
    for item in fields(c):
        handled = item.name in SAID | OF_TRAINING | CHOOSING
        if not handled and getattr(c, item.name) != getattr(usual, item.name):
            value = plain(getattr(c, item.name))
            name = f"{item.name}.kind" if isinstance(value, dict) else item.name
            raise _cannot(f"model.{name}={value['kind'] if isinstance(value, dict) else value}")
    rotary = c.norm is Norm.rms and c.position is Position.rotary and c.activation is Activation.swiglu
    if rotary and not c.qk_norm:
        return "llama"
    biased = any(c.has_bias(part) for part in ("qkv", "attention_out", "feed_forward"))
    if rotary and not biased:
        return "qwen3"
    if rotary:
        raise _cannot("model.qk_norm=true together with biases")
    if c.norm is Norm.layer and c.position is Position.learned and c.activation is Activation.gelu and not c.qk_norm:
        if c.head_width * c.n_heads != c.d_model:
            raise _cannot(f"model.head_dim={c.head_dim} that is not d_model / n_heads, with learned positions")
        return "gpt2"
    names = ("norm", "position", "activation", "qk_norm")
    raise _cannot("; ".join(f"model.{name}={plain(getattr(c, name))}" for name in names))


def _cannot(what: str) -> ConfigError:
    return ConfigError(
        f"to=gguf has no architecture for {what}; it has rms, rotary and swiglu (llama, with qk_norm qwen3) and "
        "layer, learned and gelu (gpt2)"
    )


def _add_settings(writer: "GGUFWriter", model: Transformer, name: str) -> None:
    c = model.config
    writer.add_name(name)
    writer.add_vocab_size(model.vocab_size)
    writer.add_context_length(model.max_seq_len)
    writer.add_embedding_length(c.d_model)
    writer.add_block_count(c.n_layers)
    writer.add_feed_forward_length(c.d_ff or default_d_ff(c.activation, c.d_model))
    writer.add_head_count(c.n_heads)
    if c.norm is Norm.layer:
        writer.add_layer_norm_eps(c.norm_eps)
        return
    writer.add_layer_norm_rms_eps(c.norm_eps)
    writer.add_head_count_kv(c.n_kv_heads or c.n_heads)
    writer.add_key_length(c.head_width)
    writer.add_value_length(c.head_width)
    writer.add_rope_dimension_count(c.head_width)
    writer.add_rope_freq_base(c.rope_theta)


def tensors(model: Transformer, architecture: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors of `model` by GGUF's names, matrices as [outputs, inputs], in float32."""
    yield "token_embd.weight", _array(model.embedding.weight)
    if model.positions is not None:
        yield "position_embd.weight", _array(model.positions.weight)
    for index, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        for name, array in _block(block, architecture):
            yield f"blk.{index}.{name}", array
    yield from _layer("output_norm", model.norm, zeros=architecture == "gpt2")
    if model.head is not None or architecture == "gpt2":  # llama.cpp ties llama and qwen3 itself
        yield "output.weight", _array(model.output_weight())


def _block(block: Block, architecture: str) -> Iterator[tuple[str, np.ndarray]]:
    a, f, old = block.attention, block.feed_forward, architecture == "gpt2"
    yield from _layer("attn_norm", block.attention_norm, zeros=old)
    if old:
        shared = a.n_heads // a.n_kv_heads
        parts = [_repeated(layer, count, a.head_dim) for layer, count in ((a.q, 1), (a.k, shared), (a.v, shared))]
        yield "attn_qkv.weight", np.concatenate([weight for weight, _ in parts])
        yield "attn_qkv.bias", np.concatenate([bias for _, bias in parts])
    else:
        turned = architecture == "llama"
        yield from _layer("attn_q", a.q, heads=a.n_heads if turned else 0)
        yield from _layer("attn_k", a.k, heads=a.n_kv_heads if turned else 0)
        yield from _layer("attn_v", a.v)
        if a.q_norm is not None and a.k_norm is not None:
            yield from _layer("attn_q_norm", a.q_norm)
            yield from _layer("attn_k_norm", a.k_norm)
    yield from _layer("attn_output", a.out, zeros=old)
    yield from _layer("ffn_norm", block.feed_forward_norm, zeros=old)
    if f.gate is not None:
        yield from _layer("ffn_gate", f.gate)
    yield from _layer("ffn_up", f.up, zeros=old)
    yield from _layer("ffn_down", f.down, zeros=old)


def _layer(name: str, layer: nn.Module, *, heads: int = 0, zeros: bool = False) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weight and the bias of a layer; with `zeros` a missing bias as zeros, which gpt2 requires.

    With `heads`, the two halves of each head are interleaved: llama.cpp turns x[2i] with x[2i + 1] there.
    """
    own = dict(layer.named_parameters(recurse=False))
    for kind in ("weight", "bias"):
        if kind in own:
            array = _array(own[kind])
            if heads:
                array = array.reshape(heads, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
            yield f"{name}.{kind}", array
        elif zeros:
            yield f"{name}.{kind}", np.zeros(own["weight"].shape[0], np.float32)


def _repeated(layer: nn.Linear, times: int, head_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weight [N H, D] and bias [N H] of keys or values, each of the K heads `times` over."""
    weight = _array(layer.weight)
    bias = np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias)
    parts = [part.reshape(-1, head_dim, *part.shape[1:]).repeat(times, axis=0) for part in (weight, bias)]
    return parts[0].reshape(-1, weight.shape[1]), parts[1].reshape(-1)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).numpy()


def _add_tensor(writer: "GGUFWriter", name: str, array: np.ndarray, dtype: ExportDtype) -> int:
    """Add a tensor; vectors and positions stay float32. Return 1 where rows that do not fit Q8_0 became float16."""
    from gguf import GGMLQuantizationType, quants

    array = np.ascontiguousarray(array)
    if array.ndim == 1 or name == "position_embd.weight" or dtype is ExportDtype.float32:
        writer.add_tensor(name, array)
        return 0
    fits = array.shape[-1] % Q8_BLOCK == 0
    if dtype is ExportDtype.q8_0 and fits:
        packed = quants.quantize(array, GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
        return 0
    half = array.astype(np.float16)
    if not np.isfinite(half).all() and np.isfinite(array).all():
        raise ConfigError(f"{name} holds numbers too large for float16 (65,504); use dtype=float32")
    writer.add_tensor(name, half)
    return int(dtype is ExportDtype.q8_0)
