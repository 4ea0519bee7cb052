import pytest
import torch

from prospero.errors import ConfigError
from prospero.model.layers.lookback import Lookback
from prospero.model.transformer import TransformerConfig
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
