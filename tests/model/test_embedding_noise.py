"""Noise on embeddings: its size by the length of the document, its shape, and who sees it."""

import pytest
import torch

from prospero.model.layers.embedding_noise import with_noise
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig


def test_it_is_uniform_and_as_large_as_the_paper_says():
    torch.manual_seed(1)
    noise = with_noise(torch.zeros(8, 64, 16), 5.0, None)
    bound = 5.0 / (64 * 16) ** 0.5
    assert noise.abs().max() <= bound and noise.abs().max() == pytest.approx(bound, rel=0.01)
    assert noise.std() == pytest.approx(bound / 3**0.5, rel=0.02) and abs(noise.mean()) < 0.02 * bound


def test_each_document_of_a_row_has_its_own_length():
    torch.manual_seed(1)
    ids = torch.tensor([[4, 4, 4, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], [0] * 16])
    largest = with_noise(torch.zeros(2, 16, 4096), 2.0, ids).abs().amax(2)
    expected = [[2.0 / (4 * 4096) ** 0.5] * 4 + [2.0 / (12 * 4096) ** 0.5] * 12, [2.0 / (16 * 4096) ** 0.5] * 16]
    torch.testing.assert_close(largest, torch.tensor(expected), rtol=0.01, atol=0)


@pytest.mark.parametrize("config", [TransformerConfig(n_layers=1, d_model=32, n_heads=2), LSTMConfig(d_model=16)])
def test_a_model_sees_it_in_training_alone_and_the_seed_decides(config):
    torch.manual_seed(1)
    model, ids = config.build(20, 8), torch.arange(8)[None]
    plain = model(ids).hidden
    model.embedding_noise = 5.0

    def seeded():
        torch.manual_seed(7)
        return model(ids).hidden

    assert torch.equal(seeded(), seeded()) and not torch.allclose(seeded(), plain, atol=1e-3)
    assert not torch.equal(model(ids).hidden, model(ids).hidden)
    assert torch.equal(model.eval()(ids).hidden, plain)
