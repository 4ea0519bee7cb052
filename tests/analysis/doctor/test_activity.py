"""Units, heads and sinks of models in which some were switched off by hand."""

import pytest
import torch

from prospero.analysis.doctor.activity import watch
from prospero.model.hooks import replace
from prospero.model.layers.feed_forward import Activation
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig


def inputs():
    generator = torch.Generator().manual_seed(3)
    return [{"input_ids": torch.randint(0, 40, (2, 24), generator=generator)} for _ in range(2)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = TransformerConfig(n_layers=2, d_model=32, n_heads=4, activation=Activation.relu, bias=True)
    return config.build(vocab_size=40, max_seq_len=24).eval()


def test_a_fresh_model_has_none(model):
    found = watch(model, inputs())
    assert list(found.dormant) == ["block.0.feed_forward.hidden", "block.1.feed_forward.hidden"]
    assert found.n_heads == 8 and found.silent_heads == [] and found.sink_heads == []


def test_units_that_never_fire(model):
    with torch.no_grad():
        model.blocks[1].feed_forward.up.bias[:48] = -100.0
    found = watch(model, inputs())
    units = model.blocks[1].feed_forward.up.out_features
    assert found.dormant["block.1.feed_forward.hidden"] == pytest.approx(48 / units)
    assert found.dormant["block.0.feed_forward.hidden"] == 0


def test_a_head_whose_output_goes_nowhere(model):
    with torch.no_grad():
        model.blocks[0].attention.out.weight[:, 8:16] = 0.0
    assert watch(model, inputs()).silent_heads == ["0.1"]


def test_a_layer_that_gives_nothing_at_all_has_no_measure():
    torch.manual_seed(0)
    config = TransformerConfig(n_layers=1, d_model=32, n_heads=4, zero_init_outputs=True)
    found = watch(config.build(vocab_size=40, max_seq_len=24), inputs())
    assert found.silent_heads == []


def test_a_head_that_looks_at_the_first_token(model):
    def look_there(weights: torch.Tensor) -> torch.Tensor:
        weights = weights.clone()
        weights[:, 2], weights[:, 2, :, 0] = 0.0, 1.0
        return weights

    with replace(model, {"block.1.attention.weights": look_there}):
        found = watch(model, inputs())
    assert found.sink_heads == ["1.2"]
    assert found.queries["block.1.attention.weights"] == 2 * 2 * 16  # all positions but the first eight


def test_the_units_of_an_lstm():
    torch.manual_seed(0)
    model = LSTMConfig(n_layers=2, d_model=16).build(vocab_size=40, max_seq_len=24).eval()
    found = watch(model, inputs())
    assert list(found.dormant) == ["block.0.output", "block.1.output"] and found.n_heads == 0
    assert max(found.dormant.values()) == 0
