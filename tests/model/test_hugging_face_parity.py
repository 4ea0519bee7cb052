"""The default layout is Llama, qk_norm makes it Qwen3, the old layout is GPT-2: equal logits from equal weights."""

import pytest
import torch

from prospero.model.layers.attention import AttentionKernel
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.norms import Norm
from prospero.model.transformer import Position, Transformer, TransformerConfig

transformers = pytest.importorskip("transformers")

VOCAB, SEQ_LEN, WIDTH, LAYERS, HEADS = 101, 32, 48, 2, 4

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


def copy_llama(theirs: torch.nn.Module, ours: Transformer) -> None:
    given = theirs.state_dict()
    state = {"embedding.weight": given["model.embed_tokens.weight"], "norm.weight": given["model.norm.weight"]}
    if ours.head is not None:
        state["head.weight"] = given["lm_head.weight"]
    for layer in range(LAYERS):
        for mine, name in LLAMA_NAMES.items():
            if f"model.layers.{layer}.{name}.weight" in given:
                state[f"blocks.{layer}.{mine}.weight"] = given[f"model.layers.{layer}.{name}.weight"]
    ours.load_state_dict(state)


def copy_gpt2(theirs: torch.nn.Module, ours: Transformer) -> None:
    given = theirs.state_dict()
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
    ours.load_state_dict(state)


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # far from any start: norms and biases count too
    return model.eval()


def assert_equal_logits(theirs: torch.nn.Module, ours: Transformer) -> None:
    ids = torch.randint(VOCAB, (3, SEQ_LEN), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = theirs(ids).logits
        for kernel in (AttentionKernel.sdpa, AttentionKernel.explicit):
            ours.set_attention(kernel)
            torch.testing.assert_close(ours.eval()(ids).logits, wanted, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("n_kv_heads", [4, 2])
def test_default_layout_is_llama(n_kv_heads: int) -> None:
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        intermediate_size=128,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=n_kv_heads,
        max_position_embeddings=SEQ_LEN,
        rms_norm_eps=1e-5,
    )
    theirs = randomise(transformers.LlamaForCausalLM(config))
    ours = TransformerConfig(n_layers=LAYERS, d_model=WIDTH, n_heads=HEADS, n_kv_heads=n_kv_heads).build(VOCAB, SEQ_LEN)
    copy_llama(theirs, ours)
    assert_equal_logits(theirs, ours)


def test_qk_norm_is_qwen3() -> None:
    config = transformers.Qwen3Config(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=SEQ_LEN,
        rms_norm_eps=1e-6,
        rope_theta=1000.0,
        tie_word_embeddings=True,
    )
    theirs = randomise(transformers.Qwen3ForCausalLM(config))
    ours = TransformerConfig(
        n_layers=LAYERS,
        d_model=WIDTH,
        n_heads=HEADS,
        n_kv_heads=2,
        head_dim=16,
        d_ff=96,
        qk_norm=True,
        norm_eps=1e-6,
        rope_theta=1000.0,
        tie_embeddings=True,
    ).build(VOCAB, SEQ_LEN)
    copy_llama(theirs, ours)
    assert_equal_logits(theirs, ours)


def test_old_layout_is_gpt2() -> None:
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_positions=SEQ_LEN, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, layer_norm_epsilon=1e-5
    )
    theirs = randomise(transformers.GPT2LMHeadModel(config))
    ours = TransformerConfig(
        n_layers=LAYERS,
        d_model=WIDTH,
        n_heads=HEADS,
        norm=Norm.layer,
        position=Position.learned,
        activation=Activation.gelu,
        bias=True,
        tie_embeddings=True,
    ).build(VOCAB, SEQ_LEN)
    copy_gpt2(theirs, ours)
    assert_equal_logits(theirs, ours)
