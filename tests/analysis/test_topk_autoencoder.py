"""The TopK autoencoder finds the dictionary that activations were made of."""

import pytest
import torch
from torch.nn import functional as F

from prospero.analysis.topk_autoencoder import TopKAutoencoder, reconstruction, train_autoencoder


def planted(n: int, width: int, directions: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations of k directions each, with sizes of 1 to 2 and an offset; and the directions."""
    generator = torch.Generator().manual_seed(0)
    found = F.normalize(torch.randn(directions, width, generator=generator), dim=1)
    on = torch.rand(n, directions, generator=generator).argsort(dim=1)[:, :k]
    sizes = 1 + torch.rand(n, k, generator=generator)
    dense = torch.zeros(n, directions).scatter(1, on, sizes)
    return dense @ found + 3 * torch.randn(width, generator=generator), found


def test_it_recovers_a_planted_sparse_dictionary():
    x, directions = planted(4000, 24, 24, 2)
    model = train_autoencoder(x, latents=24, k=2, steps=400, batch_size=128, lr=0.01, seed=0)
    cosines = (directions @ model.decoder).max(dim=1).values
    assert cosines.min() > 0.95
    found = reconstruction(model, x)
    assert found.unexplained < 0.02
    assert found.active == pytest.approx(2.0, abs=0.05)
    assert found.dead == 0.0
    again = train_autoencoder(x, latents=24, k=2, steps=20, batch_size=128, lr=0.01, seed=0)
    other = train_autoencoder(x, latents=24, k=2, steps=20, batch_size=128, lr=0.01, seed=0)
    assert torch.equal(again.decoder, other.decoder)


def test_the_largest_latents_by_hand():
    model = TopKAutoencoder(2, 3, 2)
    with torch.no_grad():
        model.encoder.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        model.decoder.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]))
        model.offset.copy_(torch.tensor([1.0, 1.0]))
        model.scale.fill_(2.0)
        values, places = model.encode(torch.tensor([[6.0, 4.0], [-2.0, -2.0]]))
        assert values.tolist() == [[2.0, 1.0], [2.0, 0.0]]  # 6 / 2 - 1, 4 / 2 - 1; then -(-2 / 2 - 1) alone is above 0
        assert places.tolist()[0] == [0, 1]
        assert model(torch.tensor([[6.0, 4.0]])).tolist() == [[6.0, 4.0]]
        assert model(torch.tensor([[-2.0, -2.0]])).tolist() == [[-2.0, 2.0]]
        found = reconstruction(model, torch.tensor([[6.0, 4.0], [-2.0, -2.0]]), rows=1)
    assert found.unexplained == pytest.approx(16.0 / (2 * 16 + 2 * 9))
    assert found.active == 1.5
    assert found.dead == pytest.approx(0.0)


def test_dead_latents_are_pulled_back_by_what_is_left():
    """A latent that points away from everything stays off by itself; the loss of dead latents turns it on."""
    x, _ = planted(2000, 8, 8, 2)
    model = TopKAutoencoder(8, 12, 2, seed=1)
    model.begin_at(x)
    dead = torch.zeros(12, dtype=torch.bool)
    dead[5] = True
    loss, on = model.loss(x, torch.zeros_like(dead), 4)
    more, _ = model.loss(x, dead, 4)
    assert more > loss
    assert set(on.tolist()) <= set(range(12))
    (more - loss).backward()
    assert model.decoder.grad is not None
    columns = model.decoder.grad.abs().sum(dim=0) > 1e-8
    assert columns.tolist() == dead.tolist()
