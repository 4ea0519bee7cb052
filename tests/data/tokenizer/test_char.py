"""The character tokenizer: a vocabulary in order, unknown characters in sight."""

import pytest

from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError, DataError


def test_ids_follow_the_order_of_code_points():
    tokenizer = CharTokenizerConfig().build(lambda: iter(["cab", "é\n"]))
    assert tokenizer.encode("\nabcé") == [0, 1, 2, 3, 4]
    assert (tokenizer.unknown_id, tokenizer.eot_id, tokenizer.vocab_size) == (5, 6, 7)


def test_unknown_characters_become_one_id_each():
    tokenizer = CharTokenizerConfig().build(lambda: iter(["ab"]))
    assert tokenizer.encode("a日😀b") == [0, 2, 2, 1]
    assert tokenizer.inner.encode("a日😀b").ids == [0, 2, 2, 1]
    assert tokenizer.decode([0, 2, 2, 1]) == "ab"


def test_rare_characters_can_be_left_out():
    tokenizer = CharTokenizerConfig(min_count=2).build(lambda: iter(["aab", "b!"]))
    assert tokenizer.encode("ab!") == [0, 1, 2]


def test_impossible_settings_and_text():
    with pytest.raises(ConfigError, match="min_count"):
        CharTokenizerConfig(min_count=0)
    with pytest.raises(DataError, match="no characters"):
        CharTokenizerConfig().build(lambda: iter([""]))
