"""Reading and changing the inside of a model: what stands at each point, by hand, and that nothing stays behind."""

import pytest
import torch
from torch.nn import functional as F

from prospero.errors import ConfigError
from prospero.model.hooks import matching, points, record, replace
from prospero.model.rnn import GRUConfig, LSTMConfig
from prospero.model.transformer import TransformerConfig

IDS = torch.tensor([[1, 5, 2, 7, 3], [4, 4, 9, 0, 6]])


def transformer(**settings):
    torch.manual_seed(0)
    return TransformerConfig(n_layers=2, d_model=32, n_heads=4, init_std=0.2, **settings).build(12, 16).eval()


def recurrent(config):
    torch.manual_seed(0)
    return config(n_layers=2, d_model=16, d_embedding=8).build(12, 16).eval()


VARIETIES = {
    "llama": {"n_kv_heads": 2},
    "parallel": {"parallel_residual": True, "bias": True, "qk_norm": True},
    "capped": {"attention_softcap": 3.0, "windows": [3, 0], "attention": "explicit"},
}


def built(name):
    from prospero.model.layers.attention import AttentionKernel

    settings = dict(VARIETIES[name])
    if "attention" in settings:
        settings["attention"] = AttentionKernel[settings["attention"]]
    return transformer(**settings)


@pytest.mark.parametrize("name", VARIETIES)
def test_every_point_of_a_transformer_holds_what_its_name_says(name):
    model = built(name)
    plain = model(IDS)
    with record(model, ["*"]) as found:
        output = model(IDS)
    torch.testing.assert_close(output.logits, plain.logits)
    assert list(found) and set(found) == set(points(model))
    stream = found["embedding"]
    for b, block in enumerate(model.blocks):
        at = {point.removeprefix(f"block.{b}."): value for point, value in found.items() if f"block.{b}." in point}
        torch.testing.assert_close(at["attention.input"], block.attention_norm(stream))
        torch.testing.assert_close(at["attention.scores"].softmax(-1), at["attention.weights"])
        repeats = 4 // at["attention.values"].shape[1]
        values = at["attention.values"].repeat_interleave(repeats, dim=1)
        torch.testing.assert_close((at["attention.weights"] @ values).transpose(1, 2), at["attention.heads"])
        torch.testing.assert_close(block.attention.out(at["attention.heads"].flatten(2)), at["attention.output"])
        torch.testing.assert_close(at["middle"], stream + at["attention.output"])
        read = stream if block.parallel else at["middle"]
        torch.testing.assert_close(at["feed_forward.input"], block.feed_forward_norm(read))
        torch.testing.assert_close(block.feed_forward.down(at["feed_forward.hidden"]), at["feed_forward.output"])
        torch.testing.assert_close(at["residual"], at["middle"] + at["feed_forward.output"])
        stream = at["residual"]
    torch.testing.assert_close(found["hidden"], model.norm(stream))


@pytest.mark.parametrize("config", [LSTMConfig, GRUConfig])
def test_the_gates_of_an_rnn_make_its_states(config):
    model = recurrent(config)
    plain = model(IDS)
    with record(model, ["*"]) as found:
        output = model(IDS)
    torch.testing.assert_close(output.logits, plain.logits)
    assert set(found) == set(points(model))
    torch.testing.assert_close(found["hidden"], plain.hidden)
    states = found["block.0.output"]
    if config is GRUConfig:
        z, n = found["block.0.gates.update"], found["block.0.gates.new"]
        before = F.pad(states, (0, 0, 1, 0))[:, :-1]
        torch.testing.assert_close((1 - z) * n + z * before, states)
    else:
        i, f, g, o = (found[f"block.0.gates.{name}"] for name in ("input", "forget", "cell", "output"))
        cell = torch.zeros_like(states[:, 0])
        for time in range(states.shape[1]):
            cell = f[:, time] * cell + i[:, time] * g[:, time]
            torch.testing.assert_close(o[:, time] * cell.tanh(), states[:, time])


@pytest.mark.parametrize("config", [LSTMConfig, GRUConfig])
def test_a_state_is_continued_while_gates_are_read(config):
    model = recurrent(config)
    whole = model(IDS).logits
    with record(model, ["block.*.gates.*"]):
        cache = model.new_cache(2, 16)
        first = model(IDS[:, :2], cache=cache).logits
        second = model(IDS[:, 2:], cache=cache).logits
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)


@pytest.mark.parametrize("name", VARIETIES)
def test_putting_back_what_was_recorded_changes_nothing_and_another_value_changes_the_output(name):
    model = built(name)
    plain = model(IDS).logits
    for point in points(model):
        with record(model, [point]) as found:
            model(IDS)
        with replace(model, {point: found[point].clone()}):
            torch.testing.assert_close(model(IDS).logits, plain)
        # Twice a residual stream is the same after a norm: one row takes the other's place.
        with replace(model, {point: found[point].flip(0)}):
            assert not torch.allclose(model(IDS).logits, plain, atol=1e-4), point
    assert torch.equal(model(IDS).logits, plain)


@pytest.mark.parametrize("config", [LSTMConfig, GRUConfig])
def test_gates_are_replaced_by_tensors_and_by_functions(config):
    model = recurrent(config)
    plain = model(IDS).logits
    for point in points(model):
        with record(model, [point]) as found:
            model(IDS)
        with replace(model, {point: found[point].clone()}):
            torch.testing.assert_close(model(IDS).logits, plain)
        with replace(model, {point: lambda x: x * 0.5}):
            assert not torch.allclose(model(IDS).logits, plain, atol=1e-5), point


def test_a_recording_sees_the_replaced_value_whichever_was_opened_first():
    model = transformer()
    for point in ("block.0.residual", "block.0.attention.weights", "block.0.middle"):
        with record(model, [point]) as found, replace(model, {point: lambda x: torch.ones_like(x)}):
            model(IDS)
        assert (found[point] == 1).all()


def test_a_replaced_block_cuts_off_what_is_before_it():
    model = transformer()
    with record(model, ["block.1.residual"]) as found:
        model(IDS)
    with replace(model, {"block.1.residual": found["block.1.residual"]}):
        torch.testing.assert_close(model(torch.zeros_like(IDS)).logits, model(IDS).logits)


def test_gradients_flow_through_what_was_recorded():
    model = transformer()
    with record(model, ["block.0.attention.weights"]) as found:
        logits = model(IDS).logits
    (grad,) = torch.autograd.grad(logits.sum(), found["block.0.attention.weights"])
    assert grad.shape == (2, 4, 5, 5) and grad.abs().sum() > 0


def test_nothing_stays_behind_even_after_an_error():
    model = transformer()

    def hooks():
        held = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
        return sum(held), [block.attention.tap for block in model.blocks]

    with pytest.raises(RuntimeError, match="mine"), record(model, ["*"]), replace(model, {"hidden": lambda x: x}):
        raise RuntimeError("mine")
    assert hooks() == (0, [None, None])


def test_patterns_are_checked():
    model = transformer()
    assert matching(model, ["block.*.residual"]) == ["block.0.residual", "block.1.residual"]
    with pytest.raises(ConfigError, match=r"'block.0.residul' is no point.*Did you mean 'block.0.residual'"):
        matching(model, ["block.0.residul"])
    with pytest.raises(ConfigError, match="no point of a RNN"):
        matching(recurrent(GRUConfig), ["block.0.attention.weights"])
    with (
        pytest.raises(ValueError, match=r"holds \[2, 5, 32\], and \[3\] does not fit"),
        replace(model, {"block.0.residual": torch.zeros(3)}),
    ):
        model(IDS)


def test_documents_packed_into_rows_are_refused_for_gates_alone():
    model = LSTMConfig(n_layers=1, d_model=8, document_attention=True).build(12, 16).eval()
    documents = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 0, 1]])
    with record(model, ["block.0.output"]) as found:
        output = model(IDS, document_ids=documents)
    torch.testing.assert_close(found["block.0.output"], output.hidden)
    with pytest.raises(ValueError, match="without document bounds"), record(model, ["block.0.gates.forget"]):
        model(IDS, document_ids=documents)
