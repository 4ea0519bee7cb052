"""Packings of shards that mark their targets: where the pieces lie, and whose they are."""

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.best_fit import BestFitPackingConfig, PiecePacking
from prospero.data.packing.concat import ConcatPacking, ConcatPackingConfig
from prospero.data.packing.evaluation import evaluation_packing
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.shards import ShardWriter, TokenShards

EXAMPLES = [([1, 2, 3], [4, 5]), ([6], [7, 8, 9]), ([10] * 11, [11]), ([12, 13], [14])]
"""Prompt and answer of each; the separator is 0."""


@pytest.fixture
def shards(tmp_path) -> TokenShards:
    writer = ShardWriter(tmp_path / "train.bin", np.uint16, 0, targets=True)
    for source, (prompt, answer) in enumerate(EXAMPLES):
        for ids, target in ((prompt, False), (answer, True)):
            writer.add(np.array(ids, np.uint16), n_bytes=len(ids), n_characters=len(ids), target=target)
        writer.end_document(source)
    writer.close()
    return TokenShards(tmp_path / "train.bin", targets=tmp_path / "train.targets")


def rows(packing) -> list[list[int]]:
    """The labels of each sequence that are targets."""
    labels = packing.read(np.arange(len(packing)))["labels"]
    return [[int(label) for label in row if label != IGNORE_INDEX] for row in labels]


def test_padded_puts_each_document_in_a_sequence_of_its_own(shards):
    packing = PaddedPackingConfig().build(shards, seq_len=8)
    batch = packing.read(np.arange(len(packing)))
    assert batch["input_ids"][0].tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert batch["labels"][0].tolist() == [IGNORE_INDEX] * 3 + [4, 5, 0] + [IGNORE_INDEX] * 2
    assert batch["document_ids"][0].tolist() == [0] * 6 + [1] * 2
    # the long prompt fills the first 8 positions of its document, which hold no target and are left out
    assert rows(packing) == [[4, 5, 0], [7, 8, 9, 0], [11, 0], [14, 0]]
    assert packing.documents(np.array([2])).tolist() == [2]


@pytest.mark.parametrize("config", [ConcatPackingConfig(), BestFitPackingConfig(), PaddedPackingConfig()])
def test_counts_and_sources_belong_to_the_targets(shards, config):
    packing = config.build(shards, seq_len=8)
    every = np.arange(len(packing))
    labels, sources = packing.read(every)["labels"], packing.source_ids(every)
    assert packing.target_counts(every).tolist() == (labels != IGNORE_INDEX).sum(1).tolist()
    owner = {4: 0, 5: 0, 7: 1, 8: 1, 9: 1, 11: 2, 14: 3}
    seen = 0
    for label, source in zip(labels.ravel().tolist(), sources.ravel().tolist()):
        if label in owner:
            assert source == owner[label]
            seen += 1
    assert seen == len(owner)
    assert sum(len(row) for row in rows(packing)) == int(shards.targets.sum()) == 11


def test_an_evaluation_keeps_examples_apart(shards, tmp_path):
    together = evaluation_packing(shards, 16, document_ids=True)
    alone = evaluation_packing(shards, 16, document_ids=False)
    assert isinstance(together, PiecePacking) and isinstance(alone, PiecePacking)
    assert len(together) < len(alone) == len(EXAMPLES)
    text = TokenShards(shards.path)
    assert isinstance(evaluation_packing(text, 16, document_ids=True), ConcatPacking)
