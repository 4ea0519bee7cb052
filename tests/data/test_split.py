"""Splits: exact numbers, nothing lost, nothing moves."""

from itertools import pairwise

import pytest

from prospero.data.split import AutoSplitConfig, CorpusSize, HashSplitConfig, TailSplitConfig
from prospero.errors import ConfigError


def assigned(split, texts):
    corpus = CorpusSize(len(texts), sum(map(len, texts)))
    start, found = 0, []
    for text in texts:
        found.append(list(split.pieces(text, start, corpus)))
        start += len(text)
    return found


def test_hash_gives_the_asked_shares_and_never_moves_a_document():
    split = HashSplitConfig(val_fraction=0.1, test_fraction=0.05).build()
    texts = [f"document number {i}" for i in range(4000)]
    before = {text: pieces[0].split for text, pieces in zip(texts, assigned(split, texts))}
    shares = {name: list(before.values()).count(name) / 4000 for name in ("train", "val", "test")}
    assert shares["val"] == pytest.approx(0.1, abs=0.02)
    assert shares["test"] == pytest.approx(0.05, abs=0.015)
    more = [f"something new {i}" for i in range(100)] + texts[::-1]
    after = {text: pieces[0].split for text, pieces in zip(more, assigned(split, more))}
    assert all(after[text] == before[text] for text in texts)


def test_copies_never_cross():
    split = HashSplitConfig(val_fraction=0.4, test_fraction=0.3).build()
    assert len({pieces[0].split for pieces in assigned(split, ["the same text"] * 50)}) == 1


def test_tail_cuts_tiny_shakespeare_as_nanogpt_does():
    n = 1_115_394
    assert TailSplitConfig().build().bounds(n) == [int(0.9 * n), n, n]
    assert TailSplitConfig(val_fraction=0.05, test_fraction=0.05).build().bounds(n) == [int(0.9 * n), int(0.95 * n), n]


@pytest.mark.parametrize("cut", [[10], [3, 7], [1] * 10, [9, 1]])
def test_tail_keeps_every_character_in_order(cut):
    whole = "abcdefghij"
    places = [sum(cut[:i]) for i in range(len(cut) + 1)]
    texts = [whole[a:b] for a, b in pairwise(places)]
    pieces = [
        piece
        for found in assigned(TailSplitConfig(val_fraction=0.2, test_fraction=0.1).build(), texts)
        for piece in found
    ]
    joined = {name: "".join(piece.text for piece in pieces if piece.split == name) for name in ("train", "val", "test")}
    assert joined == {"train": "abcdefg", "val": "hi", "test": "j"}
    assert sum(piece.ends for piece in pieces) == len(texts)


def test_auto_is_by_hash_for_many_documents_and_by_position_for_few():
    many = [f"text {i}" for i in range(200)]
    assert assigned(AutoSplitConfig().build(), many) == assigned(HashSplitConfig().build(), many)
    tail = TailSplitConfig(val_fraction=0.05, test_fraction=0.05).build()
    assert assigned(AutoSplitConfig().build(), ["x" * 100]) == assigned(tail, ["x" * 100])


@pytest.mark.parametrize(("val", "test"), [(0.0, 0.1), (1.0, 0.0), (-0.1, 0.0), (0.5, 0.5), (0.1, 1.0), (0.1, -0.1)])
def test_impossible_shares(val, test):
    for config in (HashSplitConfig, TailSplitConfig, AutoSplitConfig):
        with pytest.raises(ConfigError, match="split"):
            config(val_fraction=val, test_fraction=test)
