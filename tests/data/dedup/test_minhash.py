"""Near-duplicates: which are found, which are left, and what is told of them."""

import pickle
import random

import numpy as np
import pytest

from prospero.data.dedup.minhash import MinHashDedup, MinHashDedupConfig, MinHashSketch, Unit
from prospero.errors import ConfigError

WORDS = [f"{a}{b}{c}" for a in "bdfgkl" for b in "aeiou" for c in ("n", "m", "r", "st")]
N_WORDS = 400


def text_of(rng: random.Random, n: int = N_WORDS) -> list[str]:
    return [f"{rng.choice(WORDS)}{rng.randrange(30)}" for _ in range(n)]


def similar(words: list[str], similarity: float, rng: random.Random) -> list[str]:
    """Return a copy whose Jaccard similarity in runs of five words is `similarity`: its end is another text's."""
    shingles = len(words) - 4
    common = round(2 * similarity * shingles / (1 + similarity))
    return words[: common + 4] + text_of(rng, len(words) - common - 4)


def kept(dedup: MinHashDedup, texts: list[str]) -> list[bool]:
    return [dedup.keep(text, dedup.sketch(text), f"d{place}") is not None for place, text in enumerate(texts)]


def found(tmp_path, similarity: float, n: int = 100, **settings) -> float:
    """Return the share of planted copies of a similarity that are taken for copies; originals must all stay."""
    rng = random.Random(similarity)
    dedup = MinHashDedupConfig(**settings).build(tmp_path)
    originals = [text_of(rng) for _ in range(n)]
    copies = [similar(words, similarity, rng) for words in originals]
    assert all(kept(dedup, [" ".join(words) for words in originals]))
    share = 1 - sum(kept(dedup, [" ".join(words) for words in copies])) / n
    dedup.close()
    return share


def test_copies_of_which_nine_tenths_are_equal_are_found_and_unlike_texts_stay(tmp_path):
    assert found(tmp_path, 1.0) == 1.0
    assert found(tmp_path, 0.9) >= 0.99
    assert found(tmp_path, 0.7) <= 0.2  # below the threshold of 0.75
    assert found(tmp_path, 0.3) == 0.0


def test_with_fewer_rows_and_a_lower_threshold_copies_of_seven_tenths_are_found(tmp_path):
    assert found(tmp_path, 0.7, threshold=0.55, bands=28, rows=4) >= 0.97
    assert found(tmp_path, 0.3, threshold=0.55, bands=28, rows=4) == 0.0


def test_texts_of_one_template_are_one_cluster(tmp_path):
    rng = random.Random(4)
    letter = text_of(rng)
    texts = [" ".join([f"dear name{number}", *letter, f"yours name{number}"]) for number in range(20)]
    dedup = MinHashDedupConfig().build(tmp_path)
    assert kept(dedup, texts) == [True] + [False] * 19
    report = dedup.report()
    assert (report["clusters"], report["documents_in_clusters"], report["kept"]) == (1, 20, 1)
    assert report["cluster_sizes"] == {"20": 1} and report["largest"] == [{"kept": "d0", "documents": 20}]
    first = report["examples"][0]
    assert (first["kept"], first["copy"]) == ("d0", "d1") and 0.9 < first["similarity"] < 1
    assert first["kept_text"].startswith("dear name0 ") and first["copy_text"].startswith("dear name1 ")


def test_only_so_many_kept_documents_are_compared_the_earliest(tmp_path, monkeypatch):
    rng = random.Random(2)
    words = text_of(rng)
    first, second = " ".join(words), " ".join(similar(words, 0.95, rng))
    dedup = MinHashDedupConfig(threshold=1.0).build(tmp_path)
    assert kept(dedup, [first, second, second]) == [True, True, False]
    monkeypatch.setattr("prospero.data.dedup.minhash.MOST_COMPARED", 1)
    assert kept(dedup, [second, first]) == [True, False]


def test_the_minima_are_those_of_a_plain_loop():
    made = MinHashSketch(6, Unit.words, 5)
    shingles = [int(value) for value in made.shingles(" ".join(WORDS))]
    least = [min((shingle * int(a) + int(b)) % 2**64 for shingle in shingles) >> 32 for a, b in zip(made._a, made._b)]
    assert np.frombuffer(made(" ".join(WORDS)), "<u4").tolist() == least


def test_the_share_of_equal_minima_is_the_similarity():
    rng = random.Random(1)
    made = MinHashSketch(1024, Unit.words, 5)
    words = text_of(rng)
    for similarity in (0.2, 0.5, 0.8):
        a, b = (np.frombuffer(made(" ".join(text)), "<u4") for text in (words, similar(words, similarity, rng)))
        assert (a == b).mean() == pytest.approx(similarity, abs=3 * (similarity * (1 - similarity) / 1024) ** 0.5)


def test_a_sketch_may_be_made_in_another_process(tmp_path):
    dedup = MinHashDedupConfig(unit=Unit.characters).build(tmp_path)
    text = "the quick brown fox"
    assert pickle.loads(pickle.dumps(dedup.sketch))(text) == dedup.sketch(text)


def test_a_text_without_words_stays_and_nothing_is_left_on_disk(tmp_path):
    dedup = MinHashDedupConfig().build(tmp_path)
    assert kept(dedup, ["...", "...", "a b", "A, b!"]) == [True, True, True, False]
    dedup.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"threshold": 0.0}, "above 0 and at most 1"),
        ({"threshold": 1.5}, "above 0 and at most 1"),
        ({"ngram": 0}, "dedup.ngram=0 must be 1 or more"),
        ({"bands": 0}, "dedup.bands=0 must be 1 or more"),
        ({"bands": 1000, "rows": 8}, "over 4096 minima"),
        ({"threshold": 0.5}, "would find 5% of the pairs"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(ConfigError, match=said):
        MinHashDedupConfig(**settings)
