"""The order of a mixture: each part's sequences once an epoch, spread over a step, from any position on."""

from collections import Counter
from fractions import Fraction

import numpy as np

from prospero.data.mixture.order import MixtureOrder
from prospero.data.mixture.quotas import Quotas
from prospero.data.mixture.shares import Stage, shares_of

SIZE = 8


def order(limits=(None, None), seed=1):
    shares = shares_of([1, 3], [1, 1], [1.0, 1.0], None)
    return MixtureOrder(["few", "many"], [10, 100], Quotas([Stage(0, shares)], SIZE, list(limits)), seed)


def test_every_step_has_its_parts():
    made = order()
    for step in range(20):
        row = made(step * SIZE, (step + 1) * SIZE)
        assert Counter((row >= 10).tolist()) == {False: 2, True: 6}


def test_each_part_is_read_without_replacement():
    row = order()(0, 20 * SIZE)
    few = row[row < 10]
    for epoch in range(4):
        assert sorted(few[epoch * 10 : (epoch + 1) * 10].tolist()) == list(range(10))
    whole = order()(0, 50 * SIZE)  # the steps of 6 of the other end together with an epoch of 100 after 50
    assert Counter(whole[whole >= 10].tolist()) == dict.fromkeys(range(10, 110), 3)
    assert few[:10].tolist() != few[10:20].tolist()


def test_any_range_is_the_same_text():
    whole = order()(0, 100)
    assert np.concatenate([order()(0, 3), order()(3, 40), order()(40, 100)]).tolist() == whole.tolist()
    assert order()(57, 61).tolist() == whole[57:61].tolist()
    assert order(seed=2)(0, 100).tolist() != whole.tolist()


def test_epochs_are_those_of_the_part():
    made = order()
    row, epochs = made(0, 12 * SIZE), made.epochs(np.arange(12 * SIZE))
    seen = Counter[int]()
    for sequence, epoch in zip(row.tolist(), epochs.tolist()):
        assert epoch == seen[sequence]
        seen[sequence] += 1
    assert int(epochs.max()) == 2


def test_a_part_is_spread_over_the_step():
    made = order()
    places = np.concatenate([np.flatnonzero(made(s * SIZE, (s + 1) * SIZE) < 10) for s in range(40)])
    assert set(places.tolist()) == set(range(SIZE))


def test_a_part_of_the_same_name_is_read_alike_whatever_stands_before_it():
    quotas = Quotas([Stage(0, (Fraction(1),))], SIZE, [None])
    alone = MixtureOrder(["many"], [100], quotas, 1)(0, 96)
    row = order()(0, 128)
    assert (row[row >= 10] - 10).tolist() != sorted(alone.tolist())
    assert set((row[row >= 10] - 10).tolist()) == set(alone.tolist())
