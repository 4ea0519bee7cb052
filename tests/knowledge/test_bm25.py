"""BM25 against the formula by hand, and its order."""

import math

import pytest

from prospero.knowledge.bm25 import BM25, words_of

pytest.importorskip("bm25s", reason="bm25s is not installed: the extra retrieval")

TEXTS = ["the cat sat", "The dog sat, sat!", "a bird"]


def test_scores_by_the_formula():
    k1, b, mean = 1.2, 0.75, (3 + 4 + 2) / 3

    def part(n_with, count, length):
        idf = math.log(1 + (3 - n_with + 0.5) / (n_with + 0.5))
        return idf * count / (count + k1 * (1 - b + b * length / mean))

    expected = [part(2, 1, 3) + part(1, 1, 3), part(2, 2, 4), 0.0]
    assert BM25(TEXTS, k1, b).scores("Cat SAT?").tolist() == pytest.approx(expected, rel=1e-6)


def test_the_best_first_and_nothing_without_a_word_in_common():
    index = BM25(TEXTS, 1.2, 0.75)
    assert index.best("sat", 5) == [TEXTS[1], TEXTS[0]] and index.best("sat", 1) == [TEXTS[1]]
    assert index.best("unknown words", 5) == [] and index.best("", 5) == []
    assert BM25(["x y", "x y"], 1.2, 0.75).best("x", 1) == ["x y"]
    assert words_of("don't Über_x 3") == ["don", "t", "über_x", "3"]
