"""Tokenizers made elsewhere: a file, a folder, a hub name, and one line for what is none of them."""

import huggingface_hub
import pytest

from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.data.tokenizer.pretrained import PretrainedTokenizerConfig
from prospero.errors import ConfigError, DataError


@pytest.fixture
def saved(tmp_path):
    tokenizer = BPETokenizerConfig(vocab_size=270).build(lambda: iter(["the isle is full of noises\n"] * 20))
    tokenizer.save(tmp_path / "there" / "tokenizer.json")
    return tokenizer, tmp_path / "there"


def test_a_file_and_a_folder(saved):
    tokenizer, folder = saved
    for path in (folder, folder / "tokenizer.json"):
        assert PretrainedTokenizerConfig(path=str(path)).build().fingerprint() == tokenizer.fingerprint()


def test_the_separator_can_be_chosen(saved):
    _, folder = saved
    assert PretrainedTokenizerConfig(path=str(folder), eot_token="<|stop|>").build().eot_token == "<|stop|>"


def test_a_hub_name(saved, monkeypatch):
    tokenizer, folder = saved
    asked = []

    def give(name, file, *, revision):
        asked.append((name, file, revision))
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    found = PretrainedTokenizerConfig(path="someone/something", revision="v2").build()
    assert found.fingerprint() == tokenizer.fingerprint()
    assert asked == [
        ("someone/something", "tokenizer.json", "v2"),
        ("someone/something", "tokenizer_config.json", "v2"),
    ]


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(DataError, match=r"someone/something.*no route") as caught:
        PretrainedTokenizerConfig(path="someone/something").build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nothing", "missing.json"])
def test_a_path_that_is_not_there_never_asks_the_hub(path):
    with pytest.raises(DataError, match="no tokenizer at"):
        PretrainedTokenizerConfig(path=path).build()


def test_an_empty_path():
    with pytest.raises(ConfigError, match="path"):
        PretrainedTokenizerConfig(path=" ")
