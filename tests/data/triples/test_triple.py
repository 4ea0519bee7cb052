"""Sets of triples: copies are counted, a fingerprint of the content."""

from collections import Counter

from prospero.data.triples.triple import DUPLICATE, Triple, Triples, place

A, B, C = Triple("a", "r", "x"), Triple("a", "r", "y"), Triple("b", "q", "x")


def test_copies_are_left_out_and_counted():
    notes = Counter()
    found = Triples([A, B, A, C, A], notes)
    assert list(found) == [A, B, C] and notes == {DUPLICATE: 2}
    assert found.relations == {"r": 2, "q": 1} and found.objects == {"r": ["x", "y"], "q": ["x"]}
    assert found.answers["a", "r"] == {"x", "y"}


def test_the_fingerprint_is_that_of_the_content():
    assert Triples([A, B]).fingerprint() == Triples([B, A]).fingerprint() != Triples([A, C]).fingerprint()


def test_places_are_spread_and_fixed():
    assert place("a", "b") != place("ab", "") and place("a") == place("a")
    assert 400 < sum(place("x", str(n)) < 0.5 for n in range(1000)) < 600
