"""Every parameter is in exactly one group, tied ones once, and a selection of nothing is an error."""

import pytest
import torch
from torch import nn

from prospero.errors import ConfigError
from prospero.optim.param_groups import check_cover, decay_groups, decayed_parameters, hidden_matrices
from tests.objective.fakes import TinyModel


def names(model: nn.Module, parameters) -> set[str]:
    by_id = {id(p): name for name, p in model.named_parameters()}
    return {by_id[id(p)] for p in parameters}


def test_norms_biases_and_embeddings_are_not_decayed():
    model = TinyModel()
    decay, no_decay = decay_groups(model, 0.1)
    assert names(model, decay["params"]) == {"blocks.0.weight", "head.weight"} and decay["weight_decay"] == 0.1
    assert names(model, no_decay["params"]) == {"embedding.weight", "blocks.0.bias", "norm.weight", "norm.bias"}
    assert no_decay["weight_decay"] == 0


def test_a_tied_head_is_one_parameter_and_an_embedding():
    model = TinyModel(tied=True)
    groups = decay_groups(model, 0.1)
    assert names(model, groups[0]["params"]) == {"blocks.0.weight"}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_recurrent_weights_are_decayed():
    lstm = nn.LSTM(4, 4)
    assert set(decayed_parameters(lstm)) == {"weight_ih_l0", "weight_hh_l0"}


def test_frozen_parameters_are_in_no_group():
    model = TinyModel()
    model.head.weight.requires_grad_(False)
    assert all(p is not model.head.weight for group in decay_groups(model, 0.1) for p in group["params"])


def test_hidden_matrices_leave_the_head_out():
    assert set(hidden_matrices(TinyModel())) == {"blocks.0.weight"}


def test_a_selection_of_nothing_is_an_error():
    with pytest.raises(ConfigError, match=r"no weight to decay"):
        decay_groups(nn.LayerNorm(4), 0.1)
    assert len(decay_groups(nn.LayerNorm(4), 0.0)) == 1
    with pytest.raises(ConfigError, match=r"no parameter to train"):
        decay_groups(nn.ReLU(), 0.0)
    with pytest.raises(ConfigError, match=r"no matrix for muon"):
        hidden_matrices(nn.Conv1d(2, 2, 3))


def test_groups_that_do_not_cover_are_refused():
    model = TinyModel()
    everything = list(model.parameters())
    with pytest.raises(ValueError, match=r"head.weight' is in 0"):
        check_cover(model, [{"params": everything[:-1]}])
    with pytest.raises(ValueError, match=r"'embedding.weight' is in 2"):
        check_cover(model, [{"params": everything}, {"params": everything[:1]}])
    with pytest.raises(ValueError, match=r"does not train"):
        check_cover(model, [{"name": "x", "params": [*everything, nn.Parameter(torch.zeros(2))]}])
