"""Pieces become token files in order, whatever the batches."""

import pytest

from prospero.data.encoding import SplitEncoder, source_names
from prospero.data.shards import TokenShards
from prospero.data.split import Piece
from prospero.data.tokenizer.byte import ByteTokenizerConfig

PIECES = [Piece("train", "one"), Piece("val", "zwei"), Piece("train", "cut", ends=False), Piece("val", " here")]


def encoded(folder, pieces, batch_bytes=10**6):
    folder.mkdir()
    encoder = SplitEncoder(folder, ByteTokenizerConfig().build(), 64_000_000)
    encoder.batch_bytes = batch_bytes
    sizes = [encoder.add(piece, f"{len(piece.text)} letters") for piece in pieces]
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
    val = TokenShards(tmp_path / "a" / "val.bin")
    assert val.all_tokens.tolist() == [256, *b"zwei", 256, *b" here", 256]
    assert encoder.sources == ["3 letters", "5 letters", "4 letters"]
    assert train.document_sources.tolist() == [0, 0] and val.document_sources.tolist() == [2, 1]
    assert list(encoder.splits) == ["train", "val"]
    assert encoder.splits["train"] | {"digest": ""} == {
        "file": "train.bin",
        "digest": "",
        "documents": 2,
        "characters": 6,
        "bytes": 6,
        "tokens": 8,
        "bytes_per_token": 0.75,
        "unknown_tokens": 0,
        "unknown_bytes": 0,
        "tokens_per_byte": 1.3333,
    }


def test_the_sources_with_the_most_text_are_named(tmp_path):
    sizes = {f"{n:02d}": 100 - n for n in range(70)} | {"other": 200}
    encoder = SplitEncoder(tmp_path, ByteTokenizerConfig().build(), 64_000_000)
    for name in sorted(sizes, reverse=True):
        encoder.add(Piece("train", "x" * sizes[name]), name)
    encoder.close()
    encoder.abandon()
    assert encoder.sources == [f"{n:02d}" for n in range(64)] + ["other"]
    expected = [64, *[min(n, 64) for n in range(69, -1, -1)]]
    assert TokenShards(tmp_path / "train.bin").document_sources.tolist() == expected
    assert source_names({"b": 5, "other": 5, "a": 5, "c": 6}) == ["c", "a", "b", "other"]


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

    encoder.add(PIECES[0], "a")
    encoder.tokenizer = Broken()
    with pytest.raises(RuntimeError, match="cannot encode"):
        encoder.close()
    encoder.abandon()
