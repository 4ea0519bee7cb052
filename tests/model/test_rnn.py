import pytest
import torch

from prospero.errors import ConfigError
from prospero.model.rnn import GRUConfig, LSTMConfig


def test_hidden_is_the_last_layer() -> None:
    model = LSTMConfig(n_layers=2, d_model=12).build(30, 8)
    ids = torch.randint(30, (2, 8))
    first, _ = model.blocks[0](model.embedding(ids))
    torch.testing.assert_close(model(ids).hidden, model.blocks[1](first)[0])


def test_locked_dropout_drops_the_same_channels_at_all_positions() -> None:
    model = GRUConfig(d_model=64, dropout=0.5, locked_dropout=True).build(30, 8).train()
    torch.manual_seed(0)
    dropped = model(torch.randint(30, (3, 8))).hidden == 0
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert 0.3 < dropped.float().mean() < 0.7
    assert not torch.equal(dropped[0], dropped[1])


def test_forget_gate_starts_open() -> None:
    bias = LSTMConfig(d_model=4).build(30, 8).blocks[0].bias_ih_l0
    assert bias.tolist() == [0] * 4 + [1] * 4 + [0] * 8


def test_reads_beyond_the_length_of_training() -> None:
    model = LSTMConfig(d_model=8).build(30, 8)
    cache = model.new_cache(1, 8)
    for _ in range(3):
        model(torch.randint(30, (1, 8)), cache=cache)
    assert cache.length == 24
    assert not cache.full


@pytest.mark.parametrize("settings", [{"dropout": 1.5}, {"n_layers": 0}, {"locked_dropout": True}])
def test_impossible_settings(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        LSTMConfig(**settings)
