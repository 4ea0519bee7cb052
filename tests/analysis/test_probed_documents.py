"""Documents for probes: tokens, their properties, and the activations after them."""

import numpy as np
import torch

from prospero.analysis.probed_documents import Windows, _spread, balanced, probed, tokens_of_each
from prospero.analysis.text_properties import NONE, PROPERTIES
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.hooks import record
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build()


def test_a_token_has_the_property_of_its_last_character():
    text = "a = 'é'\n"
    found = probed(text, TOKENIZER, [PROPERTIES["in_string_or_comment"], PROPERTIES["next_is_line_end"]], 99)
    assert found.ids.tolist() == TOKENIZER.encode(text)
    assert found.classes["in_string_or_comment"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert found.classes["next_is_line_end"].tolist() == [0, -1, -1, -1, -1, -1, -1, 1, -1]


def test_two_classes_are_thinned_out_to_as_many_of_each():
    assert balanced(np.array([0, 0, 0, 0, 0, 1, 1, NONE])).tolist() == [0, NONE, NONE, NONE, 0, 1, 1, NONE]
    assert balanced(np.array([0, 0])).tolist() == [NONE, NONE]


def test_activations_stand_after_their_tokens():
    torch.manual_seed(0)
    model = TransformerConfig(n_layers=1, d_model=32, n_heads=2).build(TOKENIZER.vocab_size, 8).eval()
    documents = [probed(text, TOKENIZER, [], 10) for text in ("abcdefghijklm", "xy")]
    windows = Windows(documents, TOKENIZER, 8)
    assert windows.rows.shape == (3, 8)
    found = windows.activations(model, ["block.0.residual", "block.0.attention.heads"], rows=2)
    assert {name: list(values.shape) for name, values in found.items()} == {
        "block.0.residual": [12, 32],
        "block.0.attention.heads": [12, 32],
    }
    first = [TOKENIZER.eot_id, *TOKENIZER.encode("abcdefg")]
    for ids, places, rows in (
        (first, slice(1, 8), slice(0, 7)),
        (TOKENIZER.encode("hij"), slice(0, 3), slice(7, 10)),
        ([TOKENIZER.eot_id, *TOKENIZER.encode("xy")], slice(1, 3), slice(10, 12)),
    ):
        with record(model, ["block.0.residual"]) as recorded:
            model(torch.tensor([ids]))
        torch.testing.assert_close(recorded["block.0.residual"][0, places], found["block.0.residual"][rows])


def test_documents_come_spread_over_the_text():
    for n in (1, 2, 5, 8, 11):
        assert sorted(_spread(n)) == list(range(n))
    assert list(_spread(8)) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert np.ptp(list(_spread(100))[:4]) >= 64
    assert [tokens_of_each(n, 30_000) for n in (1, 24, 100, 1000)] == [4096, 1250, 300, 256]
