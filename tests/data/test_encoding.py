"""Pieces become token files in order, whatever the batches."""

import pytest

from prospero.data.encoding import SplitEncoder
from prospero.data.shards import TokenShards
from prospero.data.split import Piece
from prospero.data.tokenizer.byte import ByteTokenizerConfig

PIECES = [Piece("train", "one"), Piece("val", "zwei"), Piece("train", "cut", ends=False), Piece("val", " here")]


def encoded(folder, pieces, batch_bytes=10**6):
    folder.mkdir()
    encoder = SplitEncoder(folder, ByteTokenizerConfig().build(), 64_000_000)
    encoder.batch_bytes = batch_bytes
    sizes = [encoder.add(piece) for piece in pieces]
    encoder.close()
    encoder.abandon()
    return encoder, sizes


@pytest.mark.parametrize("batch_bytes", [1, 5, 10**6])
def test_pieces_come_out_in_order(tmp_path, batch_bytes):
    encoder, sizes = encoded(tmp_path / "a", PIECES, batch_bytes)
    assert sizes == [3, 4, 3, 5]
    train = TokenShards(tmp_path / "a" / "train.bin")
    assert train.all_tokens.tolist() == [256, *b"one", 256, *b"cut"]
    assert train.document_ends.tolist() == [5, 8]
    assert TokenShards(tmp_path / "a" / "val.bin").all_tokens.tolist() == [256, *b"zwei", 256, *b" here", 256]
    assert list(encoder.splits) == ["train", "val"]
    assert encoder.splits["train"] | {"digest": ""} == {
        "file": "train.bin",
        "digest": "",
        "documents": 2,
        "characters": 6,
        "bytes": 6,
        "tokens": 8,
        "bytes_per_token": 0.75,
        "tokens_per_byte": 1.3333,
    }


def test_the_text_digest_sees_every_change(tmp_path):
    changed = [
        PIECES,
        PIECES[::-1],
        PIECES[:3],
        [Piece("test", "one"), *PIECES[1:]],
        [Piece("train", "on"), Piece("train", "e"), *PIECES[1:]],
        [Piece("train", "one", ends=False), *PIECES[1:]],
    ]
    digests = {encoded(tmp_path / str(i), pieces)[0].text_digest for i, pieces in enumerate(changed)}
    assert len(digests) == len(changed)
    assert encoded(tmp_path / "again", PIECES, 1)[0].text_digest in digests


def test_an_error_of_the_tokenizer_is_raised_here(tmp_path):
    encoder = SplitEncoder(tmp_path, ByteTokenizerConfig().build(), 1)

    class Broken:
        unknown_id = None

        def encode_batch(self, texts):
            raise RuntimeError("cannot encode")

    encoder.add(PIECES[0])
    encoder.tokenizer = Broken()
    with pytest.raises(RuntimeError, match="cannot encode"):
        encoder.close()
    encoder.abandon()
