"""BPE trained here: deterministic, digits apart, a bounded sample."""

from itertools import pairwise

import pytest

from prospero.data.tokenizer.bpe import BPETokenizerConfig, Pattern, even_sample
from prospero.errors import ConfigError, DataError

TEXTS = [f"the tempest number {i} raises the waves of the sea 20{i:02d}\n" for i in range(100)]


def test_the_same_text_in_any_order_gives_the_same_tokenizer():
    first = BPETokenizerConfig(vocab_size=280).build(lambda: iter(TEXTS))
    second = BPETokenizerConfig(vocab_size=280).build(lambda: iter(TEXTS[::-1]))
    assert first.fingerprint() == second.fingerprint()
    assert first.vocab_size == 280
    assert len(first.encode(TEXTS[0])) < len(TEXTS[0]) / 2


@pytest.mark.parametrize("pattern", Pattern)
@pytest.mark.parametrize("max_digits", [1, 2, 3])
def test_digits(pattern, max_digits):
    config = BPETokenizerConfig(vocab_size=300, pattern=pattern, max_digits=max_digits)
    tokenizer = config.build(lambda: iter(["the sum 1234567 1234567 1234567\n"] * 50))
    longest = max(len(token.strip()) for token in tokenizer.bytes_of() if token.strip().isdigit())
    assert longest == max_digits


def test_any_text_can_be_written():
    tokenizer = BPETokenizerConfig(vocab_size=260).build(lambda: iter(TEXTS))
    assert tokenizer.decode(tokenizer.encode("日本語 \0 😀")) == "日本語 \0 😀"


def test_a_sample_is_even_and_bounded():
    texts = [f"{i:05d}" * 20 for i in range(1000)]
    sample = list(even_sample(lambda: iter(texts), 10_000))
    assert sum(map(len, sample)) == pytest.approx(10_000, rel=0.02)
    places = [texts.index(text) for text in sample]
    assert max(b - a for a, b in pairwise(places)) <= 12
    assert list(even_sample(lambda: iter(texts), 10**9)) == texts


def test_small_texts_give_what_they_can():
    tokenizer = BPETokenizerConfig(vocab_size=5000).build(lambda: iter(TEXTS))
    assert 257 < tokenizer.vocab_size < 5000
    with pytest.raises(DataError, match="too short"):
        BPETokenizerConfig().build(lambda: iter(["ab"]))


@pytest.mark.parametrize(
    "wrong", [{"vocab_size": 256}, {"max_digits": 0}, {"min_frequency": 0}, {"max_training_mb": 0}]
)
def test_impossible_settings(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BPETokenizerConfig(**wrong)
