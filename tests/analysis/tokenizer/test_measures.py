"""What a tokenizer makes of text, counted by hand: a tokenizer of bytes, and one of merges that are known."""

import numpy as np
import pytest

from prospero.analysis.tokenizer.measures import (
    Cost,
    Fertility,
    TokenUse,
    cost_by_language,
    cost_by_source,
    fertility_by_script,
    round_trip,
    script_of,
    texts_of,
    token_use,
    words_of,
)
from prospero.analysis.tokenizer.parallel_text import ARTICLE_ONE
from prospero.data.dedup.none import NoDedupConfig
from prospero.data.prepare import prepare
from prospero.data.settings import PrepareConfig
from prospero.data.sources.files import FilesConfig
from prospero.data.split import TailSplitConfig
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig

BYTES = ByteTokenizerConfig().build()


def merged():
    """A tokenizer whose two merges are "ab" and " ab"."""
    return BPETokenizerConfig(vocab_size=259).build(lambda: iter([" ab ab ab ab xx"]))


def test_a_source_costs_its_documents_bytes_and_tokens():
    texts = [("a.txt", "é1"), ("b.txt", "abcdef"), ("a.txt", "")]
    assert cost_by_source(BYTES, texts) == {"b.txt": Cost(1, 6, 6, 6), "a.txt": Cost(2, 3, 2, 3)}
    assert cost_by_source(merged(), [("s", " ab ab!")]) == {"s": Cost(1, 7, 7, 3)}
    assert Cost(1, 7, 7, 3).bytes_per_token == 7 / 3


def test_a_long_document_counts_whole():
    text = "ab\n" * 100_000
    assert cost_by_source(BYTES, [("s", text), ("s", "x")])["s"] == Cost(2, 300_001, 300_001, 300_001)


def test_words_are_runs_of_letters_with_their_marks_and_have_a_script():
    assert words_of(["ab ab2x e\u0301t_", "हिन्दी 日本"]) == {"ab": 2, "x": 1, "e\u0301t": 1, "हिन्दी": 1, "日本": 1}
    scripts = [script_of(sign) for sign in "aéжλאعहกあア日한"]
    assert scripts == ["Latin"] * 2 + ["Cyrillic", "Greek", "Hebrew", "Arabic", "Devanagari", "Thai", "Hiragana"] + [
        "Katakana", "Han", "Hangul",
    ]  # fmt: skip
    assert script_of("ꠀ") == "other"


def test_fertility_counts_each_word_as_often_as_it_stands():
    found = fertility_by_script(merged(), {"ab": 3, "abx": 1, "ж": 2})
    assert found == {"Latin": Fertility(4, 9, 13, 5, 3), "Cyrillic": Fertility(2, 2, 6, 6, 0)}
    assert found["Latin"].tokens_per_word == 5 / 4


def test_the_sentence_costs_its_bytes_in_a_tokenizer_of_bytes():
    for language, cost in cost_by_language(BYTES).items():
        assert cost.tokens == cost.n_bytes == len(ARTICLE_ONE[language].encode())
        assert cost.characters == len(ARTICLE_ONE[language])


def test_what_does_not_come_back_is_named():
    hard, changed = round_trip(BYTES, [("s", "日\x00 x")])
    assert set(hard.values()) == {None} and changed == 0
    characters = CharTokenizerConfig().build(lambda: iter(["abc <|endoftext|>"]))
    hard, changed = round_trip(characters, [("s", "abc"), ("s", "abz")])
    assert changed == 1 and hard["nothing but a space"] is None
    assert hard["mathematics"] is not None


def test_tokens_are_sorted_by_length_and_the_unused_are_of_text():
    use = TokenUse(np.array([3, 0, 1, 0, 9]), [b"a", b"bc", b"de", b"f", b""])
    assert use.longest == [2, 1, 0, 3]
    assert use.unused == [1, 3]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measures")
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(name * 1000)
    config = PrepareConfig(
        data=FilesConfig(path=str(folder)), dedup=NoDedupConfig(), split=TailSplitConfig(),
        tokenizer=ByteTokenizerConfig(), outputs_dir=str(folder / "out"),
    )  # fmt: skip
    return prepare(config, progress=False)


def test_texts_come_back_from_prepared_data_with_their_sources(prepared):
    whole = texts_of(prepared, 10_000)
    assert {source for source, _ in whole} == {"a.txt", "b.txt"}
    assert "".join(text for _, text in whole) == "a" * 1000 + "b" * 1000
    assert texts_of(prepared, 500) == whole[:1]
    use = token_use(prepared)
    assert use.counts[ord("a")] == use.counts[ord("b")] == 1000
    assert use.counts.sum() == sum(shards.n_tokens for shards in prepared.splits.values())
    assert len(use.unused) == 254
