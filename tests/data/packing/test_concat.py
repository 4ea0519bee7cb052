"""Concat packing: every token a target once, labels one ahead, document ids where documents begin."""

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.concat import ConcatPackingConfig
from tests.data.shard_making import make_shards, random_documents


def test_a_small_case_by_hand(tmp_path):
    shards = make_shards(tmp_path / "a.bin", [[1, 2, 3], [4], [5, 6]])  # 0 1 2 3 0 4 0 5 6 0
    batch = ConcatPackingConfig().build(shards, 4).read(np.array([0, 1, 2]))
    assert batch["input_ids"].tolist() == [[0, 1, 2, 3], [0, 4, 0, 5], [6, 0, 0, 0]]
    assert batch["labels"].tolist() == [[1, 2, 3, 0], [4, 0, 5, 6], [0] + [IGNORE_INDEX] * 3]
    assert batch["document_ids"].tolist()[:2] == [[0, 0, 0, 0], [0, 0, 1, 1]]
    assert [batch[name].dtype for name in ("input_ids", "labels", "document_ids")] == [np.int64, np.int64, np.int32]


@pytest.mark.parametrize("seq_len", [1, 2, 7, 64, 1000, 5000])
def test_every_token_but_the_first_is_a_target_once(tmp_path, seq_len):
    shards = make_shards(tmp_path / "a.bin", random_documents(60, 80))
    packing = ConcatPackingConfig().build(shards, seq_len)
    everything = np.arange(len(packing))
    labels = packing.read(everything)["labels"]
    assert labels[labels != IGNORE_INDEX].tolist() == shards.all_tokens[1:].tolist()
    assert packing.target_counts(everything).tolist() == (labels != IGNORE_INDEX).sum(axis=1).tolist()


def test_any_order_of_indices_gives_the_same_rows(tmp_path):
    packing = ConcatPackingConfig().build(make_shards(tmp_path / "a.bin", random_documents(60, 80)), 16)
    whole = packing.read(np.arange(len(packing)))
    chosen = np.array([5, len(packing) - 1, 0, 5])
    for name, rows in packing.read(chosen).items():
        assert (rows == whole[name][chosen]).all()


def test_document_ids_change_at_each_separator_and_nowhere_else(tmp_path):
    packing = ConcatPackingConfig().build(make_shards(tmp_path / "a.bin", random_documents(300, 9)), 32)
    batch = packing.read(np.arange(len(packing) - 1))
    begins = (batch["input_ids"] == 0)[:, 1:]
    assert (np.diff(batch["document_ids"], axis=1) == begins).all()
    assert (batch["document_ids"][:, 0] == 0).all()


def test_writing_into_labels_leaves_the_inputs_alone(tmp_path):
    packing = ConcatPackingConfig().build(make_shards(tmp_path / "a.bin", random_documents(60, 80)), 16)
    batch = packing.read(np.array([0, 1]))
    batch["labels"][:] = IGNORE_INDEX
    assert (batch["input_ids"] >= 0).all()


def test_the_source_of_a_position_is_that_of_its_target(tmp_path):
    shards = make_shards(tmp_path / "a.bin", [[11, 12], [13], [14, 15, 16]], sources=[5, 2, 5])
    packing = ConcatPackingConfig().build(shards, 4)
    assert packing.read(np.arange(3))["labels"].tolist() == [[11, 12, 0, 13], [0, 14, 15, 16], [0, -100, -100, -100]]
    ids = packing.source_ids(np.array([0, 1, 2, 0]))
    assert ids.tolist() == [[5, 5, 5, 2], [2, 5, 5, 5], [5, 5, 5, 5], [5, 5, 5, 2]] and ids.dtype == np.int32
