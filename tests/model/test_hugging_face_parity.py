"""The default layout is Llama, qk_norm makes it Qwen3, the old layout is GPT-2: equal logits from equal weights.

A tolerance can hide a wrong model, so every switch is set wrong once and must be seen (norm weights from N(1, 0.2) and
all others from N(0, 0.2): with weights near their start neither the kind of gelu nor an eps ten times off shows).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.model.layers import feed_forward
from prospero.model.layers.attention import AttentionKernel
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.norms import Norm
from prospero.model.transformer import Position, Transformer, TransformerConfig

transformers = pytest.importorskip("transformers")

VOCAB, SEQ_LEN, WIDTH, LAYERS, HEADS = 101, 48, 64, 2, 4
TOLERANCE = 1e-4
"""Largest difference between logits of size 1 to 10; what rounding leaves is 1e-5."""

Weights = dict[str, Tensor]
OURS = TransformerConfig(n_layers=LAYERS, d_model=WIDTH, n_heads=HEADS)
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": SEQ_LEN,
}
LLAMA_NAMES = {
    "attention_norm": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Family:
    """A model of theirs, the settings that make ours the same, and the way of the weights."""

    theirs: Callable[[], torch.nn.Module]
    ours: TransformerConfig
    translate: Callable[[Weights], Weights]


def llama() -> torch.nn.Module:
    config = transformers.LlamaConfig(**SHAPE, intermediate_size=192, num_key_value_heads=4, rms_norm_eps=1e-5)
    return transformers.LlamaForCausalLM(config)


def grouped_llama() -> torch.nn.Module:
    config = transformers.LlamaConfig(**SHAPE, intermediate_size=192, num_key_value_heads=2, rms_norm_eps=1e-5)
    return transformers.LlamaForCausalLM(config)


def qwen3() -> torch.nn.Module:
    config = transformers.Qwen3Config(
        **SHAPE,
        intermediate_size=96,
        num_key_value_heads=2,
        head_dim=32,
        rms_norm_eps=2e-5,
        rope_theta=1000.0,
        tie_word_embeddings=True,
    )
    return transformers.Qwen3ForCausalLM(config)


def gpt2() -> torch.nn.Module:
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_positions=SEQ_LEN, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, layer_norm_epsilon=1e-5
    )
    return transformers.GPT2LMHeadModel(config)


def from_llama(given: Weights) -> Weights:
    state = {"embedding.weight": given["model.embed_tokens.weight"], "norm.weight": given["model.norm.weight"]}
    state["head.weight"] = given["lm_head.weight"]
    for layer in range(LAYERS):
        for mine, name in LLAMA_NAMES.items():
            if f"model.layers.{layer}.{name}.weight" in given:
                state[f"blocks.{layer}.{mine}.weight"] = given[f"model.layers.{layer}.{name}.weight"]
    return state


def from_qwen3(given: Weights) -> Weights:
    return {name: tensor for name, tensor in from_llama(given).items() if name != "head.weight"}  # it is tied


def from_gpt2(given: Weights) -> Weights:
    state = {
        "embedding.weight": given["transformer.wte.weight"],
        "positions.weight": given["transformer.wpe.weight"],
        "norm.weight": given["transformer.ln_f.weight"],
        "norm.bias": given["transformer.ln_f.bias"],
    }
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            theirs_at, at = f"transformer.h.{layer}.", f"blocks.{layer}."
            state[f"{at}attention_norm.{kind}"] = given[f"{theirs_at}ln_1.{kind}"]
            state[f"{at}feed_forward_norm.{kind}"] = given[f"{theirs_at}ln_2.{kind}"]
            products = {
                "attention.out": "attn.c_proj",
                "feed_forward.up": "mlp.c_fc",
                "feed_forward.down": "mlp.c_proj",
            }
            for mine, name in products.items():
                state[f"{at}{mine}.{kind}"] = given[f"{theirs_at}{name}.{kind}"].t()  # theirs are stored transposed
            fused = given[f"{theirs_at}attn.c_attn.{kind}"].t()
            for mine, part in zip("qkv", fused.chunk(3, dim=0)):
                state[f"{at}attention.{mine}.{kind}"] = part
    return state


FAMILIES = {
    "llama": Family(llama, replace(OURS, d_ff=192), from_llama),
    "grouped_llama": Family(grouped_llama, replace(OURS, d_ff=192, n_kv_heads=2), from_llama),
    "qwen3": Family(
        qwen3,
        replace(
            OURS,
            n_kv_heads=2,
            head_dim=32,
            d_ff=96,
            qk_norm=True,
            norm_eps=2e-5,
            rope_theta=1000.0,
            tie_embeddings=True,
        ),
        from_qwen3,
    ),
    "gpt2": Family(
        gpt2,
        replace(
            OURS,
            norm=Norm.layer,
            position=Position.learned,
            activation=Activation.gelu,
            bias=True,
            tie_embeddings=True,
        ),
        from_gpt2,
    ),
}


@pytest.fixture(scope="module")
def theirs() -> dict[str, tuple[Weights, Tensor]]:
    """Of each family the weights under our names, and the logits that they give in their model."""
    found = {}
    for name, family in FAMILIES.items():
        model = family.theirs().eval()
        torch.manual_seed(0)
        for key, parameter in model.named_parameters():
            is_scale = parameter.ndim == 1 and key.endswith("weight")
            torch.nn.init.normal_(parameter, mean=1.0 if is_scale else 0.0, std=0.2)
        with torch.no_grad():
            found[name] = family.translate(model.state_dict()), model(input_ids()).logits
    return found


def input_ids() -> Tensor:
    return torch.randint(VOCAB, (3, SEQ_LEN), generator=torch.Generator().manual_seed(1))


def difference(config: TransformerConfig, weights: Weights, wanted: Tensor) -> float:
    """The largest difference between `wanted` and the logits of our model, by the kernel that is further off."""
    model = config.build(VOCAB, SEQ_LEN)
    assert isinstance(model, Transformer)
    model.load_state_dict(weights)
    errors = []
    for kernel in (AttentionKernel.sdpa, AttentionKernel.explicit):
        model.set_attention(kernel)
        with torch.no_grad():
            errors.append((model.eval()(input_ids()).logits - wanted).abs().max().item())
    return max(errors)


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_weights_give_equal_logits(name, theirs):
    weights, wanted = theirs[name]
    assert wanted.abs().max() > 3
    assert difference(FAMILIES[name].ours, weights, wanted) < TOLERANCE


SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "eps x 10": {"norm_eps": 1e-4},
        "eps / 10": {"norm_eps": 1e-6},
        "theta": {"rope_theta": 9000.0},
        "heads of another width": {"n_heads": 2, "head_dim": 32},
        "softcap": {"logit_softcap": 30.0},
    },
    "grouped_llama": {"heads of another width": {"n_heads": 2, "n_kv_heads": 1, "head_dim": 32}},
    "qwen3": {
        "eps x 10": {"norm_eps": 2e-4},
        "eps / 10": {"norm_eps": 2e-6},
        "theta": {"rope_theta": 10000.0},
        "no qk_norm": {"qk_norm": False},
        "heads of another number": {"n_heads": 2, "n_kv_heads": 1, "head_dim": 64, "qk_norm": False},
    },
    "gpt2": {
        "eps x 10": {"norm_eps": 1e-4},
        "eps / 10": {"norm_eps": 1e-6},
        "relu2": {"activation": Activation.relu2},
        "heads of another number": {"n_heads": 8},
        "rotary": {"position": Position.rotary},
        "no bias": {"bias": False},
    },
}
"""Family -> name of a mistake -> our settings under it."""


@pytest.mark.parametrize(("name", "mistake"), [(name, mistake) for name in SETTINGS for mistake in SETTINGS[name]])
def test_a_wrong_setting_is_seen(name, mistake, theirs):
    weights, wanted = theirs[name]
    config = replace(FAMILIES[name].ours, **SETTINGS[name][mistake])
    kept = config.build(VOCAB, SEQ_LEN).state_dict().keys()
    assert difference(config, {key: tensor for key, tensor in weights.items() if key in kept}, wanted) > TOLERANCE


def heads_swapped(weights: Weights) -> Weights:
    """Give the queries of each group the keys and values of the other."""
    return {
        key: tensor.unflatten(0, (2, -1)).flip(0).flatten(0, 1) if ".k.weight" in key or ".v.weight" in key else tensor
        for key, tensor in weights.items()
    }


def pairs_interleaved(weights: Weights) -> Weights:
    """Order rows of queries and keys for a rotation of neighbours, as GPT-J and Meta's own Llama files have them."""
    return {
        key: tensor.unflatten(0, (-1, 2, WIDTH // HEADS // 2)).transpose(1, 2).flatten(0, 2)
        if ".q.weight" in key or ".k.weight" in key
        else tensor
        for key, tensor in weights.items()
    }


def without(word: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: torch.zeros_like(t) if word in key else t for key, t in weights.items()}


WEIGHTS: list[tuple[str, str, Callable[[Weights], Weights]]] = [
    ("llama", "pairs of neighbours are rotated", pairs_interleaved),
    ("llama", "gate and up are exchanged", lambda w: {swap(key, "gate", "up"): t for key, t in w.items()}),
    ("llama", "norms are 1 + weight", lambda w: {key: t + 1 if "norm" in key else t for key, t in w.items()}),
    ("grouped_llama", "groups of heads", heads_swapped),
    ("qwen3", "norms of q and k are exchanged", lambda w: {swap(key, "q_norm", "k_norm"): t for key, t in w.items()}),
    ("gpt2", "the bias of the queries is lost", without("attention.q.bias")),
    ("gpt2", "the bias of the values is lost", without("attention.v.bias")),
    ("gpt2", "the bias of the attention's output is lost", without("attention.out.bias")),
    ("gpt2", "the bias of the feed-forward layer is lost", without("feed_forward.up.bias")),
    ("gpt2", "the bias of the norms is lost", without("norm.bias")),
    ("gpt2", "positions begin at 1", lambda w: w | {"positions.weight": w["positions.weight"].roll(-1, 0)}),
]
"""Family, mistake, and what it makes of the weights. (A bias of the keys alone changes no attention at all.)"""


def swap(key: str, a: str, b: str) -> str:
    return key.replace(f".{a}.", ".?.").replace(f".{b}.", f".{a}.").replace(".?.", f".{b}.")


@pytest.mark.parametrize(("name", "mistake", "change"), WEIGHTS, ids=[mistake for _, mistake, _ in WEIGHTS])
def test_wrong_weights_are_seen(name, mistake, change, theirs):
    weights, wanted = theirs[name]
    assert difference(FAMILIES[name].ours, change(weights), wanted) > TOLERANCE, mistake


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_a_head_that_is_tied_or_not_is_seen(name, theirs):
    weights, wanted = theirs[name]
    ours = FAMILIES[name].ours
    config = replace(ours, tie_embeddings=not ours.tie_embeddings)
    if config.tie_embeddings:
        weights = {key: tensor for key, tensor in weights.items() if key != "head.weight"}
    else:
        torch.manual_seed(1)
        weights = weights | {"head.weight": 0.2 * torch.randn(VOCAB, WIDTH)}
    assert difference(config, weights, wanted) > TOLERANCE


class WrongFunctional:
    """torch's functions, with the activations of other models."""

    relu = staticmethod(F.relu)

    @staticmethod
    def silu(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    @staticmethod
    def gelu(x: Tensor, approximate: str) -> Tensor:
        return F.gelu(x, approximate="none")


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_another_activation_is_seen(name, theirs, monkeypatch):
    monkeypatch.setattr(feed_forward, "F", WrongFunctional)
    weights, wanted = theirs[name]
    assert difference(FAMILIES[name].ours, weights, wanted) > TOLERANCE
