"""Runs of training text in other texts: each that stands there is found, and none that does not."""

import numpy as np
import pytest

from prospero.data import overlap
from prospero.data.overlap import Overlap, WordNumbers, blocks, overlaps, run_hashes, seen
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from tests.data.shard_making import make_shards, random_documents

BYTES = ByteTokenizerConfig().build(lambda: iter(()))


@pytest.fixture
def documents():
    return random_documents(200, 60, seed=3)


@pytest.fixture(params=[2**20, 97])
def shards(tmp_path, documents, monkeypatch, request):
    monkeypatch.setattr(overlap, "BLOCK", request.param)
    return make_shards(tmp_path / "train.bin", documents)


def test_a_hash_tells_runs_apart_and_their_order():
    ids = np.array([5, 6, 7, 5, 6, 7, 6, 5])
    found = run_hashes(ids, 3)
    assert len(found) == 6 and found[0] == found[3] and len(set(found.tolist())) == 5
    assert len(run_hashes(ids, 9)) == 0 and run_hashes(ids.astype(np.uint16), 3).tolist() == found.tolist()


def test_every_run_is_counted_as_a_plain_search_counts_it(shards, documents):
    text = shards.all_tokens.tolist()
    n, rng = 3, np.random.default_rng(0)
    runs = [text[place : place + n] for place in rng.integers(0, len(text) - n, 40)] + rng.integers(
        1, 100, (40, n)
    ).tolist()
    expected = [sum(text[place : place + n] == run for place in range(len(text))) for run in runs]
    wanted = np.concatenate([run_hashes(np.array(run), n) for run in runs])
    assert seen(blocks(shards, n), wanted, n).tolist() == expected and max(expected) >= 1 and min(expected) == 0
    assert seen(blocks(shards, n), wanted[:0], n).tolist() == []


def test_a_planted_overlap_is_measured_and_no_false_one(shards, documents):
    long = [document for document in documents if len(document) >= 30]
    strange = list(range(1000, 1040))
    texts = [long[0][2:28], strange, [*strange[:10], *long[1][:20], *strange[10:20]], long[2][:5], []]
    whole, none, middle, short, empty = overlaps([np.array(text) for text in texts], blocks(shards, 8), 8)
    assert whole == Overlap(length=26, covered=26, longest=26) and whole.share == 1
    assert none == Overlap(length=40, covered=0, longest=0)
    assert middle == Overlap(length=40, covered=20, longest=20) and middle.share == 0.5
    assert short.covered == 0 and empty.share == 0


def test_of_a_long_text_blocks_spread_over_it_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(overlap, "BLOCK", 100)
    shards = make_shards(tmp_path / "train.bin", [list(range(1, 999))])
    read = [int(block[1]) // 100 for block in blocks(shards, 1, most_tokens=300)]
    assert read == [0, 4, 9] or read == [0, 5, 9]
    assert sum(map(len, blocks(shards, 1, most_tokens=10_000))) == 1000


def test_words_are_compared_without_case_and_signs(tmp_path, monkeypatch):
    monkeypatch.setattr(overlap, "BLOCK", 50)
    texts = ["The quick, brown fox -- JUMPS over", "the lazy dog. It sleeps all day long.", "x"]
    shards = _bytes_shards(tmp_path, texts)
    words = WordNumbers()
    wanted = [words.wanted(text) for text in ("quick brown FOX jumps", "jumps over the lazy", "a cat sleeps all day")]
    found = overlaps(wanted, words.blocks(shards, BYTES, None), 3)
    assert [one.covered for one in found] == [4, 0, 3]  # nothing runs on into the next document


def _bytes_shards(tmp_path, texts):
    from prospero.data.shards import ShardWriter, TokenShards

    writer = ShardWriter(tmp_path / "words.bin", np.uint16, BYTES.eot_id)
    for text in texts:
        writer.add(np.array(BYTES.encode(text), np.uint16), n_bytes=len(text), n_characters=len(text))
        writer.end_document()
    writer.close()
    return TokenShards(tmp_path / "words.bin")
