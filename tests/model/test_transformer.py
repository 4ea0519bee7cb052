from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.model.layers.attention import AttentionKernel, QKNormWidth
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.transformer import Position, Transformer, TransformerConfig
from tests.model.variants import SEQ_LEN, SHAPE, VOCAB, build


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_model": 64, "n_heads": 5}, "n_heads=5 does not divide d_model=64; choose n_heads from 1, 2, 4, 8"),
        ({"n_heads": 6, "n_kv_heads": 4}, "n_kv_heads=4 does not divide n_heads=6; choose n_kv_heads from 1, 2, 3, 6"),
        ({"d_model": 30, "n_heads": 2}, "position=rotary needs an even head width, but it is 15"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"n_layers": 0}, "n_layers=0"),
        ({"logit_softcap": 0.0}, "logit_softcap=0.0"),
    ],
)
def test_impossible_settings_say_what_is_possible(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransformerConfig(**settings)


def test_too_long_a_sequence_is_an_error() -> None:
    with pytest.raises(ValueError, match=f"{SEQ_LEN + 1} tokens exceed max_seq_len={SEQ_LEN}"):
        build("llama")(torch.zeros(1, SEQ_LEN + 1, dtype=torch.long))


def test_grouped_queries_equal_repeated_heads() -> None:
    torch.manual_seed(0)
    few, many = build("llama", n_kv_heads=2).eval(), build("llama").eval()
    state = few.state_dict()
    for name, value in state.items():
        if name.endswith(("attention.k.weight", "attention.v.weight")):
            state[name] = value.view(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32)
    many.load_state_dict(state)
    ids = torch.randint(VOCAB, (2, SEQ_LEN))
    torch.testing.assert_close(few(ids).logits, many(ids).logits)


@pytest.mark.parametrize("name", ["llama", "explicit", "modern", "shift"])
def test_activation_checkpointing_gives_equal_gradients(name: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build(name, activation_checkpointing=checkpointing, dropout=0.1)
        ids = torch.arange(2 * SEQ_LEN).view(2, SEQ_LEN) % VOCAB
        torch.manual_seed(1)
        model(ids).logits.square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


def test_outputs_of_layers_start_smaller_with_depth_or_at_zero() -> None:
    deep = TransformerConfig(n_layers=8, d_model=64, n_heads=2).build(VOCAB, SEQ_LEN)
    assert deep.blocks[0].attention.out.weight.std().item() == pytest.approx(0.02 / 4, rel=0.1)
    assert deep.blocks[0].feed_forward.up.weight.std().item() == pytest.approx(0.02, rel=0.1)
    zero = TransformerConfig(**SHAPE, zero_init_outputs=True).build(VOCAB, SEQ_LEN)
    assert zero.blocks[0].feed_forward.down.weight.abs().max() == 0
    assert zero(torch.zeros(1, 3, dtype=torch.long)).logits.abs().max() == 0


def test_smear_starts_as_the_identity_and_then_looks_one_back() -> None:
    torch.manual_seed(0)
    model = TransformerConfig(n_layers=1, d_model=32, n_heads=4, lookback=Lookback.smear).build(VOCAB, SEQ_LEN)
    x = torch.randn(1, 5, 32)
    _, shared = model._prepare(torch.zeros(1, 5, dtype=torch.long), None, None)
    assert torch.equal(model.smear(x, shared), x)
    torch.nn.init.constant_(model.smear.gate.bias, 0.5)
    expected = x[:, 1:] + torch.tanh(torch.tensor(0.5)) * x[:, :-1]
    torch.testing.assert_close(model.smear(x, shared)[:, 1:], expected)
    assert torch.equal(model.smear(x, shared)[:, 0], x[:, 0])


def test_state_dict_has_no_shared_tensors_and_plain_names() -> None:
    names = set(build("qwen3").state_dict())
    assert "head.weight" not in names
    assert "blocks.1.attention.q_norm.weight" in names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotary_dim": 3}, "rotary_dim=3 is impossible; choose an even number from 2 to the head width 64"),
        ({"rotary_dim": 66}, "rotary_dim=66"),
        ({"position": Position.learned, "rotary_dim": 4}, "rotary_dim is for position=rotary"),
        ({"windows": [4, -1]}, "a window is a number of tokens, or 0"),
        ({"n_layers": 2, "windows": [4, 0, 4]}, "names more layers than n_layers=2"),
        ({"window_rope_theta": 100.0}, "is for layers with a window; set windows"),
        ({"attention_softcap": 5.0, "attention": AttentionKernel.sdpa}, "attention=sdpa has no place"),
        ({"qk_norm_width": QKNormWidth.all_heads}, "set qk_norm=true"),
        ({"embedding_scale": 0.0}, "embedding_scale=0.0"),
    ],
)
def test_switches_that_would_do_nothing_or_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransformerConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 0.0}, "rope_scaling.factor=0.0"),
        ({"divisors": [1.0]}, "go with rope_scaling.kind=table"),
        ({"kind": Scaling.table}, "go with rope_scaling.kind=table"),
        ({"kind": Scaling.table, "divisors": [1.0, 0.0]}, "must all be above 0"),
        ({"low_freq_factor": 4.0}, "must be above low_freq_factor"),
    ],
)
def test_a_scaling_that_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RopeScalingConfig(**settings)


def test_a_window_ends_what_a_token_can_see() -> None:
    torch.manual_seed(0)
    model = build("llama", windows=[3], n_layers=1).eval()
    ids = torch.randint(VOCAB, (1, SEQ_LEN))
    changed = ids.clone()
    changed[0, 4] += 1
    same = (model(ids).logits == model(changed % VOCAB).logits).all(-1)[0].tolist()
    assert [place for place in range(SEQ_LEN) if not same[place]] == [4, 5, 6]


def test_every_other_layer_may_have_a_window() -> None:
    config = TransformerConfig(n_layers=5, windows=[8, 0])
    assert [config.window(layer) for layer in range(5)] == [8, 0, 8, 0, 8]


SWITCHED = ["gemma", "olmo", "neox", "neo", "llama3"]


@pytest.mark.parametrize("name", SWITCHED)
def test_switches_compile_to_one_graph_with_the_same_gradients(name: str, long_form: bool) -> None:
    if not long_form:
        pytest.skip("compiling takes a quarter of a minute a model; it is for --long")
    torch.manual_seed(0)
    model = build(name)
    ids = torch.randint(VOCAB, (2, SEQ_LEN))

    def gradients(forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
        model.zero_grad()
        forward(ids).square().mean().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    compiled = torch.compile(lambda ids: model(ids).logits, backend="aot_eager", fullgraph=True)
    for got, wanted in zip(gradients(compiled), gradients(lambda ids: model(ids).logits)):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-3)
    torch.compiler.reset()


@pytest.mark.parametrize("name", SWITCHED)
def test_switches_give_the_same_by_both_kernels(name: str) -> None:
    torch.manual_seed(0)
    model = build(name).eval()
    assert isinstance(model, Transformer)
    ids, logits = torch.randint(VOCAB, (2, SEQ_LEN)), []
    for kernel in (AttentionKernel.sdpa, AttentionKernel.explicit):
        model.set_attention(kernel)
        logits.append(model(ids).logits)
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-4)
