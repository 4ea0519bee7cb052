"""The longest common subsequence by whole rows against the table filled cell by cell."""

import random

import pytest
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import _union_lcs

from prospero.evaluation.metrics import common_subsequence
from prospero.evaluation.metrics.common_subsequence import CommonSubsequence


def sentences(rng: random.Random, n: int, longest: int = 14) -> list[list[str]]:
    return [rng.choices("abcd", k=rng.randint(0, longest)) for _ in range(n)]


@pytest.mark.parametrize("kept_bits", [2**28, 64])
def test_it_finds_the_subsequences_that_rouge_score_finds(monkeypatch, kept_bits):
    monkeypatch.setattr(common_subsequence, "KEPT_BITS", kept_bits)
    rng = random.Random(3)
    for _ in range(300):
        others, words = sentences(rng, rng.randint(1, 5)), rng.choices("abcdx", k=rng.randint(0, 14))
        common = CommonSubsequence(others)
        assert common.shared(words) == _union_lcs(words, others)
        assert common.length(words) == sum(LCSseq.similarity(words, other) for other in others)


def test_no_sentence_and_no_word():
    assert CommonSubsequence([]).shared(["a"]) == [] and CommonSubsequence([]).length(["a"]) == 0
    assert CommonSubsequence([[], []]).shared(["a"]) == [] and CommonSubsequence([["a"]]).length([]) == 0


def test_texts_of_ten_thousand_words():
    rng = random.Random(4)
    first, second = (rng.choices(range(500), k=10_000) for _ in range(2))
    assert CommonSubsequence([first]).length(second) == LCSseq.similarity(first, second) == 848
    assert len(CommonSubsequence([first]).shared(second)) == LCSseq.similarity(first, second)
