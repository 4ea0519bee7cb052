"""What a dashboard shows: the texts that move a unit most, and the tokens that it raises."""

import numpy as np
import pytest
import torch

from prospero.analysis.unit_texts import (
    check_has_units,
    direction_of,
    histogram,
    in_context,
    listed,
    most_moving,
    promoted,
    token_text,
)
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.model.hooks import replace
from prospero.model.layers.norms import Norm
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build()


def test_the_texts_that_move_a_unit_most_are_of_different_rows():
    ids = np.array([TOKENIZER.encode(text) for text in ("abcde", "fghij", "klmno")])
    values = np.array([[0.0, 0.1, 0.2, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0, 8.0], [0.0, 0.0, 0.0, 0.0, 3.0]])
    first, second = most_moving(values, ids, TOKENIZER, count=2, context=2)
    assert first.plain() == {"value": 9.0, "before": "", "token": "f", "after": "gh"}
    assert second.plain() == {"value": 3.0, "before": "mn", "token": "o", "after": ""}
    low, *_ = most_moving(-values, ids, TOKENIZER, count=1, context=0)
    assert (low.value, low.token) == (-9.0, "f")
    far, *_ = most_moving(values, ids, TOKENIZER, count=1, context=0, usual=7.0)
    assert (far.value, far.token) == (0.0, "a")
    assert in_context({**first.plain(), "after": "\n"}) == "«f»\\n"


def test_a_token_as_text():
    assert token_text(TOKENIZER, TOKENIZER.eot_id) == TOKENIZER.eot_token
    assert [token_text(TOKENIZER, id_) for id_ in TOKENIZER.encode("aé")] == ["a", "<0xC3>", "<0xA9>"]


def test_a_histogram_counts_all():
    found = histogram(np.array([0.0] * 5 + [1.0] * 3))
    assert (sum(found["counts"]), found["counts"][0], found["counts"][-1]) == (8, 5, 3)
    assert (found["low"], found["high"]) == (0.0, 1.0)


@pytest.mark.parametrize("norm", [Norm.rms, Norm.layer])
def test_what_a_neuron_raises_is_what_its_column_adds_to_the_logits(norm):
    """With the last block's neuron set far up, the logits go along its direction: the same tokens lead."""
    torch.manual_seed(0)
    config = TransformerConfig(n_layers=2, d_model=32, n_heads=4, d_ff=48, init_std=0.2, norm=norm)
    model = config.build(TOKENIZER.vocab_size, 16).eval()
    with torch.no_grad():
        model.norm.weight.uniform_(0.5, 2.0)
    point, unit = "block.1.feed_forward.hidden", torch.eye(48)[7]
    direction = direction_of(model, point, unit)
    assert direction is not None
    torch.testing.assert_close(direction, model.blocks[1].feed_forward.down.weight[:, 7])
    with torch.no_grad(), replace(model, {point: lambda x: x + 1e5 * unit}):
        logits = model(torch.tensor([[5, 6]])).logits[0, -1]
    found = promoted(model, point, direction, TOKENIZER, 5)
    by_effect = logits.argsort(descending=True).tolist()
    assert found["raised"] == [token_text(TOKENIZER, id_) for id_ in by_effect[:5]]
    assert found["lowered"] == [token_text(TOKENIZER, id_) for id_ in by_effect[::-1][:5]]


def test_only_what_leads_straight_to_the_head_speaks_for_tokens():
    torch.manual_seed(0)
    transformer = TransformerConfig(n_layers=2, d_model=32, n_heads=4).build(TOKENIZER.vocab_size, 16)
    lstm = LSTMConfig(n_layers=2, d_model=32).build(TOKENIZER.vocab_size, 16)
    unit = torch.eye(32)[3]
    straight = [
        (transformer, "block.0.residual"),
        (transformer, "embedding"),
        (lstm, "block.1.output"),
        (lstm, "hidden"),
    ]
    for model, point in straight:
        assert direction_of(model, point, unit) is unit
    for model, point in ((transformer, "block.0.attention.input"), (lstm, "block.0.output"), (lstm, "embedding")):
        assert direction_of(model, point, unit) is None
    with pytest.raises(ConfigError, match="128 units, and this process holds 64"):
        direction_of(transformer, "block.0.feed_forward.hidden", torch.ones(64))
    assert listed({}, "raised") == "-"
    assert listed({"raised": ["a", "\n"]}, "raised") == "'a' '\\n'"


def test_points_without_a_vector_of_a_token_are_refused():
    check_has_units("block.*.attention.heads", "points")
    with pytest.raises(ConfigError, match=r"points: 'block\.0\.attention\.keys' holds no vector"):
        check_has_units("block.0.attention.keys", "points")
