"""Tokenizers made elsewhere: a file, a folder, a hub name, and one line for what is none of them."""

import huggingface_hub
import huggingface_hub.constants
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


def test_the_separator_can_be_chosen_among_the_tokens_that_are_there(saved):
    _, folder = saved
    for name in ("<|endoftext|>", "e"):
        assert PretrainedTokenizerConfig(path=str(folder), eot_token=name).build().eot_token == name


@pytest.mark.parametrize("name", ["<|endoftext>", "<|endofText|>", "</s>", "\x1b[31m"])
def test_a_separator_that_does_not_exist_is_refused_with_a_suggestion(saved, name):
    _, folder = saved
    with pytest.raises(ConfigError, match=r"eot_token=.* is no token of .*It has: <\|endoftext\|>") as caught:
        PretrainedTokenizerConfig(path=str(folder), eot_token=name).build()
    assert ("Did you mean '<|endoftext|>'?" in str(caught.value)) == name.startswith("<|endo")
    assert "\x1b" not in str(caught.value)


def test_a_separator_that_only_the_file_beside_names_is_added_and_said(saved, caplog):
    tokenizer, folder = saved
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<stop>"}')
    built = PretrainedTokenizerConfig(path=str(folder)).build()
    assert built.eot_token == "<stop>" and built.vocab_size == tokenizer.vocab_size + 1
    assert "names the separator '<stop>', which the tokenizer lacks" in caplog.text
    (folder / "tokenizer_config.json").write_text('{"eos_token": 3}')
    with pytest.raises(DataError, match="is no text"):
        PretrainedTokenizerConfig(path=str(folder)).build()


def test_a_revision_of_a_folder_is_a_mistake(saved):
    with pytest.raises(ConfigError, match=r"tokenizer\.revision=v2 is for names on the hub"):
        PretrainedTokenizerConfig(path=str(saved[1]), revision="v2").build()


@pytest.fixture
def switched_off(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def unreachable(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")


def test_a_hub_name(saved, monkeypatch, switched_off):
    tokenizer, folder = saved
    asked = []

    def give(name, file, *, revision, local_files_only):
        assert not local_files_only
        asked.append((name, file, revision))
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    found = PretrainedTokenizerConfig(path="someone/something", revision="v2").build()
    assert found.fingerprint() == tokenizer.fingerprint()
    assert asked == [
        ("someone/something", "tokenizer.json", "v2"),
        ("someone/something", "tokenizer_config.json", "v2"),
        ("someone/something", "chat_template.jinja", "v2"),
    ]


def test_without_the_hub_a_copy_on_this_machine_is_used_and_said(saved, monkeypatch, unreachable, caplog):
    _, folder = saved

    def give(name, file, *, revision, local_files_only):
        assert local_files_only
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    assert PretrainedTokenizerConfig(path="someone/something").build().eot_token == "<|endoftext|>"
    assert "the copy of someone/something on this machine is used" in caplog.text


def test_without_the_hub_and_without_a_copy_it_is_said_at_once(unreachable, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"someone/something.* the hub did not give it: http://127\.0\.0\.1:9: "):
        PretrainedTokenizerConfig(path="someone/something").build()
    assert "Retrying" not in capfd.readouterr().err


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch, switched_off):
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
