"""Exact duplicates, up to case and white space as set."""

import tracemalloc

import pytest

from prospero.data.dedup.exact import ExactDedupConfig


@pytest.mark.parametrize(
    ("ignore_case", "ignore_white_space", "expected"),
    [
        (False, True, [False, True, True, False, False]),
        (True, True, [False, True, True, True, False]),
        (False, False, [False, True, False, False, False]),
        (True, False, [False, True, False, True, False]),
    ],
)
def test_what_counts_as_equal(ignore_case, ignore_white_space, expected):
    dedup = ExactDedupConfig(ignore_case=ignore_case, ignore_white_space=ignore_white_space).build()
    assert [dedup.is_duplicate(text) for text in ("a b", "a b", " a\n\tb ", "A B", "ab")] == expected


@pytest.mark.heavy
def test_memory_for_each_document_is_what_the_help_says():
    dedup = ExactDedupConfig().build()
    tracemalloc.start()
    for number in range(20_000):
        assert not dedup.is_duplicate(f"document number {number}")
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / 20_000 < 170
