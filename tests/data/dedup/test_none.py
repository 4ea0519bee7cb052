"""No de-duplication."""

from prospero.data.dedup.none import NoDedupConfig


def test_nothing_is_a_duplicate():
    dedup = NoDedupConfig().build()
    assert [dedup.is_duplicate("same") for _ in range(3)] == [False] * 3
