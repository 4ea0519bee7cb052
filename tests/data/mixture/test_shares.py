"""Shares of the weights, by hand."""

from fractions import Fraction

from prospero.data.mixture.shares import FINEST, shares_of

ALIKE = [1.0, 1.0]


def test_weights_are_exact_shares():
    assert shares_of([1, 3], [10, 10], ALIKE, None) == (Fraction(1, 4), Fraction(3, 4))
    assert shares_of([0.1, 0.2], [10, 10], ALIKE, None) == (Fraction(1, 3), Fraction(2, 3))
    assert shares_of([0, 2], [10, 10], ALIKE, None) == (0, 1)


def test_a_temperature_of_1_is_by_size_and_a_large_one_alike():
    assert shares_of([1, 1], [100, 300], ALIKE, 1.0) == (Fraction(1, 4), Fraction(3, 4))
    assert shares_of([1, 1], [100, 300], ALIKE, 2.0) == (Fraction(36603, FINEST), Fraction(63397, FINEST))
    assert shares_of([1, 1], [100, 300], ALIKE, 1e9) == (Fraction(1, 2), Fraction(1, 2))
    assert shares_of([3, 1], [100, 300], ALIKE, 1.0) == (Fraction(1, 2), Fraction(1, 2))


def test_of_sequences_with_fewer_targets_there_are_more():
    assert shares_of([1, 1], [10, 10], [25.0, 50.0], None) == (Fraction(2, 3), Fraction(1, 3))


def test_rounded_shares_add_up_and_the_smallest_stays():
    shares = shares_of([1e-9, 1, 1, 1], [1] * 4, [1.0] * 4, None)
    assert shares[0] == Fraction(1, FINEST)
    assert sum(shares) == 1
    assert all(abs(share - Fraction(1, 3)) <= Fraction(2, FINEST) for share in shares[1:])
