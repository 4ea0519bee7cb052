"""Best-fit packing: every token a target once, no document cut that fits, little padding."""

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.best_fit import BestFitPackingConfig, best_fit_decreasing
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
