"""Numbers of patterns of attention whose values are known beforehand."""

import math

import pytest
import torch

from prospero.analysis.attention_measures import (
    distance,
    entropy,
    first_places,
    previous_token,
    rollout,
    sink_mass,
)

T = 5
UNIFORM = (torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]).expand(1, 1, T, T)
PREVIOUS = torch.eye(T).roll(-1, dims=1)
PREVIOUS[0] = torch.eye(T)[0]  # the first query sees itself alone
PREVIOUS[1:] = torch.eye(T)[:-1]
PREVIOUS = PREVIOUS.expand(1, 1, T, T)
ITSELF = torch.eye(T).expand(1, 1, T, T)


def test_attention_on_all_keys_alike():
    assert entropy(UNIFORM)[0, 0].tolist() == pytest.approx([math.log(t) for t in range(1, T + 1)], abs=1e-6)
    assert distance(UNIFORM)[0, 0].tolist() == pytest.approx([0, 0.5, 1, 1.5, 2])
    first = torch.zeros(1, T, dtype=torch.int64)
    assert sink_mass(UNIFORM, first)[0, 0].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert previous_token(UNIFORM)[0, 0].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 4, 1 / 5])


def test_attention_on_the_token_before():
    assert entropy(PREVIOUS).abs().max() == 0
    assert distance(PREVIOUS)[0, 0].tolist() == [0, 1, 1, 1, 1]
    assert previous_token(PREVIOUS)[0, 0].tolist() == [1, 1, 1, 1]
    assert previous_token(ITSELF).sum() == 0 and distance(ITSELF).sum() == 0


def test_the_sink_of_a_document_is_its_own_first_token():
    documents = torch.tensor([[0, 0, 1, 1, 1]])
    first = first_places(documents)
    assert first.tolist() == [[0, 0, 2, 2, 2]]
    assert sink_mass(UNIFORM, first)[0, 0].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert sink_mass(ITSELF, first)[0, 0].tolist() == [1, 0, 1, 0, 0]


def test_a_rollout_by_hand():
    """Two layers that look one token back: half stays, half goes back, twice."""
    rolled = rollout([PREVIOUS, PREVIOUS])[0]
    assert rolled[4].tolist() == [0, 0, 0.25, 0.5, 0.25]
    assert rolled[0].tolist() == [1, 0, 0, 0, 0]
    assert rollout([ITSELF] * 3)[0].tolist() == torch.eye(T).tolist()


def test_the_first_layer_is_the_innermost():
    first, second = UNIFORM, PREVIOUS
    expected = ((PREVIOUS + ITSELF) / 2)[0, 0] @ ((UNIFORM + ITSELF) / 2)[0, 0]
    torch.testing.assert_close(rollout([first, second])[0], expected)


def test_rows_of_a_rollout_sum_to_one():
    generator = torch.Generator().manual_seed(1)
    layers = []
    for heads in (2, 3, 4):
        scores = torch.randn(2, heads, 7, 7, generator=generator)
        layers.append(scores.masked_fill(torch.ones(7, 7).triu(1).bool(), -math.inf).softmax(-1))
    rolled = rollout(layers)
    torch.testing.assert_close(rolled.sum(-1), torch.ones(2, 7))
    assert (rolled.triu(1) == 0).all()


def test_a_rollout_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one layer at least"):
        rollout([])
