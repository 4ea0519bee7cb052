"""The order of the data: a permutation, the same in every call, whatever the range asked for."""

import numpy as np
import pytest

from prospero.data.sampler import Permutation, SequenceOrder, SkippedRanges


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 64, 65, 1000, 4096, 4097, 100_003])
def test_is_a_permutation(n):
    images = Permutation(n, (1, 0))(np.arange(n))
    assert (np.sort(images) == np.arange(n)).all()


def test_key_and_n_decide():
    positions = np.arange(1000)
    first = Permutation(1000, (1, 0))(positions)
    assert (first == Permutation(1000, (1, 0))(positions)).all()
    assert (first[[7, 3, 999]] == Permutation(1000, (1, 0))(np.array([7, 3, 999]))).all()
    for key in [(1, 1), (2, 0), (0, 1)]:
        assert (first == Permutation(1000, key)(positions)).mean() < 0.02


def test_looks_random():
    images = Permutation(10_000, (3, 0))(np.arange(10_000)).astype(float)
    assert abs(np.corrcoef(images, np.arange(10_000))[0, 1]) < 0.04
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.04
    assert abs((np.diff(images) == 1).mean()) < 0.002


def test_fixed_numbers():
    """Runs that are resumed with a later version must see the same order."""
    assert Permutation(10, (1, 0))(np.arange(10)).tolist() == FIRST_ORDER


FIRST_ORDER = [1, 9, 5, 8, 2, 7, 4, 0, 3, 6]


@pytest.mark.parametrize("n", [1, 3, 50, 5000])
def test_each_epoch_has_every_sequence_once(n):
    order = SequenceOrder(n, seed=5)
    for epoch in range(3):
        assert sorted(order(epoch * n, (epoch + 1) * n).tolist()) == list(range(n))
    if n > 10:
        assert order(0, n).tolist() != order(n, 2 * n).tolist()


@pytest.mark.heavy
def test_a_range_is_the_same_however_it_is_asked_for():
    order = SequenceOrder(700, seed=9)
    whole = order(0, 10_000)
    pieces = [SequenceOrder(700, seed=9)(start, start + 123) for start in range(0, 9900, 123)]
    joined = np.concatenate(pieces)
    assert (joined == whole[: len(joined)]).all()
    assert order.epochs(np.array([0, 699, 700, 1400])).tolist() == [0, 0, 1, 2]
    assert order(5, 5).tolist() == []


def test_skipped_ranges_are_joined_and_jumped_over():
    skipped = SkippedRanges([[8, 10], [4, 6], [5, 8], [20, 20]])
    assert skipped.ranges == [[4, 10]]
    assert skipped.positions(2, 6).tolist() == [2, 3, 10, 11]
    assert skipped.runs(2, 6) == [[2, 4], [10, 12]]
    # gone back over sequences 5 and 6: positions 11 and 12
    more = SkippedRanges([*skipped.ranges, *skipped.runs(5, 7)])
    assert more.ranges == [[4, 10], [11, 13]]
    assert more.positions(3, 7).tolist() == [3, 10, 13, 14]
