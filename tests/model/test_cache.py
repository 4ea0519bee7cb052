import pytest
import torch

from prospero.model.cache import KVCache


def test_rows_write_at_their_own_place() -> None:
    cache = KVCache(n_layers=1, batch_size=2, max_len=6)
    cache.announce(torch.tensor([1, 3]))
    first = torch.arange(6.0).view(2, 1, 3, 1)
    cache.update(0, first, first)
    cache.advance(3)
    assert cache.lengths is not None
    assert cache.lengths.tolist() == [1, 3]
    new = torch.tensor([10.0, 20.0]).view(2, 1, 1, 1)
    keys, _ = cache.update(0, new, new)
    assert keys[:, 0, :, 0].tolist() == [[0, 10, 2, 0], [3, 4, 5, 20]]
    positions = cache.positions(1, torch.device("cpu"))
    mask = cache.mask(positions, torch.float32)
    assert mask is not None
    assert (mask[:, 0, 0] == 0).tolist() == [[True, True, False, False], [True, True, True, True]]


def test_equally_long_rows_need_no_mask() -> None:
    cache = KVCache(n_layers=1, batch_size=2, max_len=6)
    cache.announce(torch.tensor([3, 3]))
    cache.advance(3)
    assert cache.lengths is None
    assert cache.mask(cache.positions(1, torch.device("cpu")), torch.float32) is None
    mask = cache.mask(cache.positions(2, torch.device("cpu")), torch.float32)
    assert mask is not None
    assert (mask == 0).tolist() == [[True] * 4 + [False], [True] * 5]


def test_more_than_fits_is_an_error() -> None:
    cache = KVCache(n_layers=1, batch_size=1, max_len=4)
    cache.advance(3)
    cache.reserve(1)
    with pytest.raises(ValueError, match="holds 3 of 4 tokens; 2 more"):
        cache.reserve(2)
