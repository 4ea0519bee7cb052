"""Best-fit packing: every token a target once, no document cut that fits, little padding."""

import logging

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.best_fit import BestFitPackingConfig, LongDocuments, best_fit_decreasing
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.shards import ShardWriter, TokenShards
from prospero.errors import DataError
from tests.data.shard_making import make_shards, random_documents


def plain_best_fit_decreasing(lengths, capacity):
    """The definition, item by item: return the sorted gaps (bins of equal gap may be exchanged)."""
    gaps = []
    for length in sorted(lengths, reverse=True):
        fitting = [(gap, place) for place, gap in enumerate(gaps) if gap >= length]
        if not fitting:
            gaps.append(capacity)
            fitting = [(capacity, len(gaps) - 1)]
        gaps[min(fitting)[1]] -= length
    return sorted(gaps)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_plain_algorithm(seed):
    generator = np.random.default_rng(seed)
    capacity = int(generator.integers(3, 60))
    lengths = generator.integers(1, capacity + 1, 400)
    bins, n_bins = best_fit_decreasing(lengths, capacity)
    gaps = capacity - np.bincount(bins, weights=lengths, minlength=n_bins).astype(int)
    assert sorted(gaps.tolist()) == plain_best_fit_decreasing(lengths.tolist(), capacity)


@pytest.mark.parametrize("seq_len", [1, 5, 32, 200])
def test_every_token_but_the_first_is_a_target_once(tmp_path, seq_len):
    shards = make_shards(tmp_path / "a.bin", random_documents(200, 90))
    packing = BestFitPackingConfig().build(shards, seq_len)
    everything = np.arange(len(packing))
    batch = packing.read(everything)
    labels = batch["labels"]
    kept = labels != IGNORE_INDEX
    assert sorted(labels[kept].tolist()) == sorted(shards.all_tokens[1:].tolist())
    assert packing.target_counts(everything).tolist() == kept.sum(axis=1).tolist()


def test_rows_are_whole_documents_each_after_a_separator(tmp_path):
    documents = random_documents(200, 30)
    packing = BestFitPackingConfig().build(make_shards(tmp_path / "a.bin", documents), 32)
    batch = packing.read(np.arange(len(packing)))
    found = []
    for row in range(len(packing)):
        for document in range(batch["document_ids"][row].max() + 1):
            mine = (batch["document_ids"][row] == document) & (batch["labels"][row] != IGNORE_INDEX)
            if mine.any():
                assert batch["input_ids"][row][mine].tolist()[0] == 0
                assert batch["labels"][row][mine].tolist()[-1] == 0
                found.append(batch["input_ids"][row][mine].tolist()[1:])
    assert sorted(found) == sorted(documents)


def test_only_documents_longer_than_a_sequence_are_cut_and_predicted_throughout(tmp_path):
    packing = BestFitPackingConfig().build(make_shards(tmp_path / "a.bin", [list(range(1, 12))]), 4)
    batch = packing.read(np.arange(3))
    assert batch["input_ids"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert batch["labels"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 0]]


def test_padding_is_small_for_ordinary_documents(tmp_path):
    packing = BestFitPackingConfig().build(make_shards(tmp_path / "a.bin", random_documents(3000, 200)), 256)
    targets = packing.target_counts(np.arange(len(packing))).sum()
    assert 1 - targets / (len(packing) * 256) < 0.002


def test_any_order_of_indices_gives_the_same_rows(tmp_path):
    packing = BestFitPackingConfig().build(make_shards(tmp_path / "a.bin", random_documents(200, 40)), 64)
    whole = packing.read(np.arange(len(packing)))
    chosen = np.array([7, 0, len(packing) - 1, 7])
    for name, rows in packing.read(chosen).items():
        assert (rows == whole[name][chosen]).all()


def marked(tmp_path, lengths: list[tuple[int, int]]) -> TokenShards:
    """Write examples of so many tokens of prompt and of answer, all different; EOT is 0."""
    writer, number = ShardWriter(tmp_path / "train.bin", np.uint16, 0, targets=True), 1
    for prompt, answer in lengths:
        for count, target in ((prompt, False), (answer, True)):
            ids = np.arange(number, number + count, dtype=np.uint16)
            writer.add(ids, n_bytes=count, n_characters=count, target=target)
            number += count
        writer.end_document()
    writer.close()
    return TokenShards(tmp_path / "train.bin", targets=tmp_path / "train.targets")


@pytest.mark.parametrize("config", [BestFitPackingConfig, PaddedPackingConfig])
@pytest.mark.parametrize(("chosen", "learnt", "lost"), [
    ("cut", [11, 12, 13, 14, 0, 18, 19, 0, 30, *range(31, 43), 0], 0),
    ("drop", [18, 19, 0], 19),
    ("keep_end", [11, 12, 13, 14, 0, 18, 19, 0, *range(36, 43), 0], 6),
])  # fmt: skip
def test_long_examples_are_cut_or_dropped_or_keep_their_ends(tmp_path, caplog, config, chosen, learnt, lost):
    caplog.set_level(logging.INFO)
    shards = marked(tmp_path, [(10, 4), (3, 2), (10, 13)])
    packed = config(long_documents=LongDocuments[chosen]).build(shards, 8)
    batch = packed.read(np.arange(len(packed)))
    assert sorted(batch["labels"][batch["labels"] != IGNORE_INDEX].tolist()) == sorted(learnt)
    assert batch["input_ids"].shape[1] == 8
    done = {"cut": "cut into pieces", "drop": "dropped", "keep_end": "read from their ends back"}[chosen]
    assert [record.getMessage() for record in caplog.records] == [
        f"train: 2 of 3 examples are longer than seq_len=8; {done} (packing.long_documents={chosen}), "
        f"{lost} targets lost"
    ]


def test_an_answer_that_fits_stays_whole_with_what_came_before(tmp_path):
    packed = PaddedPackingConfig(long_documents=LongDocuments.keep_end).build(marked(tmp_path, [(10, 4)]), 8)
    batch = packed.read(np.array([0]))
    assert batch["input_ids"].tolist() == [[7, 8, 9, 10, 11, 12, 13, 14]]
    assert batch["labels"].tolist() == [[-100] * 3 + [11, 12, 13, 14, 0]]


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"^train: 1 of 1 examples are longer than seq_len=8, and packing"):
        PaddedPackingConfig(long_documents=LongDocuments.drop).build(marked(tmp_path, [(10, 4)]), 8)
