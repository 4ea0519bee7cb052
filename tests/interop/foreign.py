"""Tiny models of Transformers with random weights, one or two of each family, saved as folders of Hugging Face's.

Weights of norms are drawn from N(1, 0.2) and all others from N(0, 0.2): nearer their start a wrong gelu or eps would
not show. (Gemma's norms multiply with 1 + weight, and begin at 0.)
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

VOCAB, SEQ_LEN, WIDTH, LAYERS, HEADS = 300, 48, 64, 3, 4
TEXTS = ["def add(a, b):\n    return a + b\n", "The import statement combines two operations; it searches.\n"] * 20

SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": SEQ_LEN,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
    "intermediate_size": 96,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
GPT2 = {"vocab_size": VOCAB, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": SEQ_LEN}
IDS = {"bos_token_id": 0, "eos_token_id": 0}
NEO = {
    **{name: SHAPE[name] for name in ("vocab_size", "hidden_size", "max_position_embeddings")},
    **IDS,
    "num_layers": 4,
    "num_heads": HEADS,
}


def rope(kind: str, **settings: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1000.0, **settings}}


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 24}
LONG = {"short_factor": [1.0, 1.1, 1.3, 1.5, 2.0, 2.5, 3.0, 4.0], "attention_factor": 1.19}
LONG |= {"long_factor": LONG["short_factor"], "original_max_position_embeddings": 24}

FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**SHAPE, "rms_norm_eps": 2e-5}),
    "llama_grouped_biased": (
        "Llama",
        {**GROUPED, "head_dim": 32, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama3": ("Llama", {**GROUPED, **rope("llama3", **LLAMA3)}),
    "llama_linear": ("Llama", {**SHAPE, **rope("linear", factor=2.0)}),
    "llama_dynamic": ("Llama", {**SHAPE, **rope("dynamic", factor=2.0)}),
    "llama_yarn": ("Llama", {**SHAPE, **rope("yarn", factor=4.0, original_max_position_embeddings=12)}),
    "llama_odd": ("Llama", {**SHAPE, "hidden_size": 60, "num_attention_heads": 6, "intermediate_size": 77}),
    "mistral": ("Mistral", {**GROUPED, "sliding_window": 11}),
    "qwen2": ("Qwen2", {**GROUPED, "tie_word_embeddings": True}),
    "qwen2_windows": (
        "Qwen2",
        {**GROUPED, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 32}),
    "qwen3_windows": (
        "Qwen3",
        {**GROUPED, "head_dim": 32, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "phi3": ("Phi3", {**GROUPED, "sliding_window": 13}),
    "phi3_partial": ("Phi3", {**GROUPED, **rope("default", partial_rotary_factor=0.5)}),
    "phi3_long": ("Phi3", {**SHAPE, **rope("longrope", **LONG), "original_max_position_embeddings": 24}),
    "gemma": ("Gemma", {**GROUPED, "head_dim": 32}),
    "gemma2": (
        "Gemma2",
        {**GROUPED, "head_dim": 32, "sliding_window": 7, "query_pre_attn_scalar": 20, "rms_norm_eps": 1e-3},
    ),
    "gemma3": (
        "Gemma3Text",
        {**GROUPED, "head_dim": 32, "sliding_window": 7, "query_pre_attn_scalar": 20}
        | {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]},
    ),
    "olmo2": ("Olmo2", GROUPED),
    "pythia": ("GPTNeoX", SHAPE),
    "gpt_neox_sequential": ("GPTNeoX", {**SHAPE, "use_parallel_residual": False, **rope("default")}),
    "gpt2": ("GPT2", {**GPT2, **IDS}),
    "gpt2_exact_gelu": ("GPT2", {**GPT2, **IDS, "activation_function": "gelu", "n_inner": 100}),
    "gpt_neo": ("GPTNeo", {**NEO, "window_size": 8, "attention_types": [[["global", "local"], 2]]}),
    "opt": (
        "OPT",
        {name: value for name, value in SHAPE.items() if name != "intermediate_size"}
        | {"ffn_dim": 96, "word_embed_proj_dim": WIDTH},
    ),
    "arcee": ("Arcee", GROUPED),
    "starcoder2": ("Starcoder2", {**GROUPED, "sliding_window": 9}),
    "stablelm": ("StableLm", {**GROUPED, "use_qkv_bias": True}),
}
"""Name -> (their class without its ending, the arguments of its configuration)."""
FAST = [
    *("llama_grouped_biased", "llama3", "mistral", "qwen2_windows", "qwen3", "phi3", "gemma2", "gemma3", "olmo2"),
    *("pythia", "gpt2", "gpt_neo", "opt"),
]
"""Those that between them have every family; the others are for --long."""


def foreign_model(name: str) -> Any:
    """Build the model called `name`, with weights that show what is wrong."""
    kind, arguments = FOREIGN[name]
    config = getattr(transformers, f"{kind}Config")(**arguments)
    ending = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    model_class = getattr(transformers, f"{kind.removesuffix('Text')}{ending}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model_class._from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(0)
    for key, parameter in model.named_parameters():
        is_scale = parameter.ndim == 1 and key.endswith("weight")
        mean = 1.0 if is_scale and not kind.startswith("Gemma") else 0.0
        parameter.data = mean + 0.2 * torch.randn(parameter.shape, generator=generator)
    model.tie_weights()
    return model


def trained_tokenizer() -> Tokenizer:
    """A byte-level BPE of fewer ids than the models have rows."""
    return BPETokenizerConfig(vocab_size=280).build(lambda: iter(TEXTS))


def saved(name: str, folder: Path) -> Any:
    """Save the model `name` with a tokenizer as Transformers does, and return it."""
    model = foreign_model(name)
    model.save_pretrained(folder)
    trained_tokenizer().save(folder / "tokenizer.json")
    return model


def input_ids(rows: int = 2, time: int = SEQ_LEN) -> Tensor:
    """Random ids [rows, time]."""
    return torch.randint(VOCAB, (rows, time), generator=torch.Generator().manual_seed(1))
