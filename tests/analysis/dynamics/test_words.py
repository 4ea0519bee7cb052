"""Which words are learned when: joined words, ages of acquisition by hand, what counts as forgotten."""

import math

import numpy as np
import pytest

from prospero.analysis.dynamics.words import (
    Occurrences,
    earliest,
    forgotten,
    latest,
    learned_at,
    never,
    tokens_of,
    trajectories,
    words_of,
)
from prospero.data.tokenizer.byte import ByteTokenizerConfig

BYTES = ByteTokenizerConfig().build(lambda: iter(()))


def test_every_token_is_an_occurrence_of_its_kind():
    found = tokens_of(np.array(BYTES.encode("abca")), BYTES)
    assert found.names == ["a", "b", "c"] and found.kinds.tolist() == [0, 1, 2, 0]
    assert found.of_token.tolist() == [0, 1, 2, 3]


def test_words_are_tokens_joined_where_letters_meet_and_not_over_a_gap():
    labels = np.array(BYTES.encode("if a_1 (if"))
    follows = np.ones(len(labels), bool)
    found = words_of(labels, follows, BYTES)
    assert found.names == ["if", " ", "a_1", "("] and found.kinds.tolist() == [0, 1, 2, 1, 3, 0]
    assert found.lengths.tolist() == [2, 1, 3, 1, 1, 2] and found.of_token.tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 5, 5]
    follows[4] = False
    assert words_of(labels, follows, BYTES).names == ["if", " ", "a", "_1", "("]


def test_a_word_is_learned_half_of_the_way_from_chance_to_its_lowest():
    losses = np.array([8.0, 6.0, 2.0, 2.5])  # chance 10, lowest 2: the bound is 6
    assert learned_at(losses, [1, 10, 100, 1000], 10.0) == pytest.approx(10)
    losses = np.array([8.0, 7.0, 5.0, 2.0])
    assert learned_at(losses, [1, 10, 1000, 10000], 10.0) == pytest.approx(100)  # half of the way from 10 to 1000
    assert learned_at(np.array([3.0, 2.0]), [5, 10], 10.0) == 5, "it is by the first checkpoint"
    assert learned_at(np.array([9.9, 9.1]), [5, 10], 10.0) is None


def test_the_loss_of_a_word_is_per_token_and_its_rise_is_judged_by_its_occurrences():
    names, kinds = ["early", "late", "lost", "rare"], np.array([0, 0, 1, 1, 2, 2, 3])
    found = Occurrences(
        names=names, kinds=kinds, lengths=np.array([2, 1, 1, 1, 1, 1, 1]), of_token=np.array([0, 0, 1, 2, 3, 4, 5, 6])
    )
    nats = np.array(
        [
            [1.0, 2.0, 3.0, 9.0, 9.0, 1.0, 1.1, 9.0],
            [1.0, 1.0, 1.0, 8.0, 8.0, 1.0, 1.0, 9.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.1, 9.0],
        ]
    )
    result = trajectories(nats, [1, 10, 100], found, vocab_size=round(math.exp(9)), min_count=2)
    by_name = {one.name: one for one in result}
    assert by_name.keys() == {"early", "late", "lost"}
    assert by_name["early"].losses == (2.0, 1.0, 1.0) and by_name["early"].count == 2
    assert by_name["lost"].rise == pytest.approx(2.05) and by_name["lost"].rise_z == pytest.approx(2.05 / 0.05)
    assert [one.name for one in forgotten(result, 9)] == ["lost"]
    assert [one.name for one in earliest(result, 2)] == ["lost", "early"]
    assert [one.name for one in latest(result, 9)] == ["late"] and by_name["late"].learned_at == pytest.approx(
        10 ** (1 + 3 / 7), rel=1e-3
    )
    everything = trajectories(nats, [1, 10, 100], found, vocab_size=round(math.exp(9)), min_count=1)
    assert [one.name for one in never(everything, 9)] == ["rare"]
