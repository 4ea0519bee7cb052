"""Pairs, one a sequence: where each half stands, what is cut and what is left out."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.evaluation import evaluation_packing
from prospero.data.packing.pairs import PairPackingConfig, TooLong
from prospero.data.shards import ShardWriter, TokenShards
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import make_shards

EOT = 0


def make_pairs(path: Path, pairs: Sequence[tuple[list[int], list[int], list[int]]]) -> TokenShards:
    """Write (prompt, chosen, rejected) of given ids."""
    writer = ShardWriter(path, np.uint16, EOT, targets=True)
    for prompt, *answers in pairs:
        for answer in answers:
            for ids, target in ((prompt, False), (answer, True)):
                writer.add(np.array(ids, dtype=np.uint16), n_bytes=0, n_characters=0, target=target)
            writer.end_document()
    writer.close()
    return TokenShards(path, targets=path.with_suffix(".targets"), documents_per_example=2)


SHORT = ([11, 12], [21, 22, 23], [31])
LONG = ([13, 14, 15, 16], [24, 25], [32, 33])
HUGE = ([17], [26] * 7, [34] * 7)


def read(packing, row: int) -> tuple[list[int], list[int], list[int]]:
    batch = packing.read(np.array([row]))
    return tuple(batch[name][0].tolist() for name in ("input_ids", "labels", "document_ids"))


def test_each_half_repeats_the_prompt_and_the_answers_alone_are_labels(tmp_path):
    packing = PairPackingConfig().build(make_pairs(tmp_path / "train.bin", [SHORT, LONG]), seq_len=16)
    none = IGNORE_INDEX
    assert len(packing) == 2
    ids, labels, documents = read(packing, 0)
    assert ids == [0, 11, 12, 21, 22, 23, 0, 11, 12, 31] + [0] * 6
    assert labels == [none, none, 21, 22, 23, 0, none, none, 31, 0] + [none] * 6
    assert documents == [0] * 6 + [1] * 4 + [2] * 6
    assert packing.target_counts(np.arange(2)).tolist() == [6, 6]
    assert packing.documents(np.array([1])).tolist() == [2, 3]


@pytest.mark.parametrize("seq_len", [11, 12])
def test_a_prompt_is_cut_at_its_beginning_in_both_halves_alike(tmp_path, caplog, seq_len):
    """LONG takes 14 positions; one of 11 or 12 holds it without two tokens, or one, of its prompt twice."""
    caplog.set_level(logging.INFO)
    packing = PairPackingConfig().build(make_pairs(tmp_path / "train.bin", [SHORT, LONG, HUGE]), seq_len)
    none, lost = IGNORE_INDEX, {11: 2, 12: 1}[seq_len]
    ids, labels, documents = read(packing, 1)
    assert len(packing) == 2  # the answers of HUGE alone take 16
    half = ([0, 13, 14, 15, 16][lost:], 7 - lost)
    assert ids[: half[1]] == [*half[0], 24, 25] and ids[half[1] : 2 * half[1]] == [*half[0], 32, 33]
    assert [label for label in labels if label != none] == [24, 25, 0, 32, 33, 0]
    assert documents[: 2 * half[1]] == [0] * half[1] + [1] * half[1]
    assert f"the prompts of 1 of 3 pairs are cut at their beginning to fit seq_len={seq_len}" in caplog.text
    assert f"1 of 3 pairs do not fit seq_len={seq_len} and are left out" in caplog.text


def test_or_the_pair_is_left_out(tmp_path, caplog):
    shards = make_pairs(tmp_path / "val.bin", [LONG, SHORT, HUGE])
    packing = PairPackingConfig(too_long=TooLong.drop).build(shards, seq_len=12)
    assert len(packing) == 1 and read(packing, 0)[0][:3] == [0, 11, 12]
    assert "val: 2 of 3 pairs do not fit seq_len=12 and are left out" in caplog.text


def test_validation_is_packed_alike(tmp_path):
    shards = make_pairs(tmp_path / "val.bin", [SHORT, LONG])
    packing = evaluation_packing(shards, 12, document_ids=True)
    expected = PairPackingConfig().build(shards, 12)
    everything = np.arange(2)
    for name, array in expected.read(everything).items():
        assert np.array_equal(packing.read(everything)[name], array)


def test_data_without_pairs_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="rendering=preferences"):
        PairPackingConfig().build(make_shards(tmp_path / "a.bin", [[1, 2], [3]]), seq_len=8)


def test_pairs_none_of_which_fits_are_refused(tmp_path):
    with pytest.raises(DataError, match="none of the 1 pairs of the train split fits seq_len=8"):
        PairPackingConfig().build(make_pairs(tmp_path / "train.bin", [HUGE]), seq_len=8)
