"""Token files: what is written comes back, and every kind of damage is found."""

import pickle

import numpy as np
import pytest

from prospero.data.shards import HEADER, ShardWriter, TokenShards, file_digest
from prospero.errors import DataError
from tests.data.shard_making import make_shards, random_documents


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_what_is_written_comes_back(tmp_path, dtype):
    documents = random_documents(50, 30)
    shards = make_shards(tmp_path / "train.bin", documents, dtype=dtype)
    expected = [0] + [token for document in documents for token in [*document, 0]]
    assert shards.all_tokens.tolist() == expected
    assert shards.all_tokens.dtype == dtype
    assert shards.tokens(3, 9).tolist() == expected[3:9]
    assert shards.document_ends.tolist() == (np.cumsum([len(document) + 1 for document in documents]) + 1).tolist()
    assert (shards.n_tokens, shards.n_documents) == (len(expected), 50)
    assert shards.n_bytes == sum(map(len, documents))
    assert not (tmp_path / "train.ends").exists()


def test_a_document_that_a_split_cuts_has_no_separator(tmp_path):
    writer = ShardWriter(tmp_path / "train.bin", np.uint16, 0)
    writer.add(np.array([5, 6], np.uint16), n_bytes=2, n_characters=2)
    writer.end_document(separator=False)
    writer.close()
    shards = TokenShards(tmp_path / "train.bin")
    assert shards.all_tokens.tolist() == [0, 5, 6]
    assert shards.document_ends.tolist() == [3]


@pytest.mark.parametrize("final", [None, np.array([7, 65535, 3])])
def test_sources_come_back_as_their_final_numbers(tmp_path, final, monkeypatch):
    monkeypatch.setattr("prospero.data.shards.ENDS_IN_MEMORY", 2)
    writer = ShardWriter(tmp_path / "train.bin", np.uint16, 0)
    for source in (2, 0, 1, 1, 2):
        writer.add(np.array([5], np.uint16), n_bytes=1, n_characters=1)
        writer.end_document(source)
    writer.close(final)
    shards = pickle.loads(pickle.dumps(TokenShards(tmp_path / "train.bin")))
    assert shards.document_sources.tolist() == ([2, 0, 1, 1, 2] if final is None else [3, 7, 65535, 65535, 3])
    assert shards.document_ends.tolist() == [3, 5, 7, 9, 11]
    assert [path.name for path in tmp_path.iterdir()] == ["train.bin"]


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "train.bin"
    make_shards(path, [[1, 2, 3], [4, 5]])
    digest = file_digest(path)
    TokenShards(path).verify(digest)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (0, 7):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(DataError):
                TokenShards(path).verify(digest)


@pytest.mark.parametrize("kept", [0, 7, HEADER.size - 1, HEADER.size, HEADER.size + 5, -1])
def test_a_file_that_was_cut_off_does_not_open(tmp_path, kept):
    path = tmp_path / "train.bin"
    make_shards(path, [[1, 2, 3]])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="prepare"):
        TokenShards(path)


def test_other_files_do_not_open(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        TokenShards(tmp_path / "none.bin")
    (tmp_path / "text.bin").write_text("to be or not to be " * 20)
    with pytest.raises(DataError, match="not a token file"):
        TokenShards(tmp_path / "text.bin")


def test_a_worker_maps_the_file_for_itself(tmp_path):
    shards = make_shards(tmp_path / "train.bin", random_documents(1000, 60))
    pickled = pickle.dumps(shards)
    assert len(pickled) < 1000
    assert (pickle.loads(pickled).all_tokens == shards.all_tokens).all()


def test_many_documents_spill_their_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("prospero.data.shards.ENDS_IN_MEMORY", 8)
    documents = random_documents(100, 5)
    shards = make_shards(tmp_path / "train.bin", documents)
    assert shards.document_ends.tolist() == (np.cumsum([len(document) + 1 for document in documents]) + 1).tolist()
