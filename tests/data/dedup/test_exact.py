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
def test_what_counts_as_equal(ignore_case, ignore_white_space, expected, tmp_path):
    dedup = ExactDedupConfig(ignore_case=ignore_case, ignore_white_space=ignore_white_space).build(tmp_path)
    texts = ("a b", "a b", " a\n\tb ", "A B", "ab")
    kept = [dedup.keep(text, dedup.sketch(text), "") for text in texts]
    assert kept == [None if copy else text for text, copy in zip(texts, expected)]


@pytest.mark.heavy
def test_memory_for_each_document_is_what_the_help_says(tmp_path):
    dedup = ExactDedupConfig().build(tmp_path)
    tracemalloc.start()
    for number in range(20_000):
        text = f"document number {number}"
        assert dedup.keep(text, dedup.sketch(text), "") is text
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / 20_000 < 170
