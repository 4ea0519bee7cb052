"""The hub's code path on a local folder, which `datasets` opens the same way; no network."""

import socket

import pytest

from prospero.data.sources import hub
from prospero.data.sources.hub import HubConfig
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import write_rows

pytest.importorskip("datasets", reason="needs prospero[hub]")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    import datasets.config
    import huggingface_hub.constants

    def refuse(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.parquet", [f"story {n}" for n in range(5)] + ["", None])
    write_rows(tmp_path / "test.parquet", ["exam"])
    return tmp_path


def read(folder, **settings) -> list[tuple[str, str]]:
    documents = list(HubConfig(dataset=str(folder), **settings).build().documents())
    assert {document.source for document in documents} == {str(folder)}
    return [(document.id, document.text) for document in documents]


def error(folder, **settings) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.heavy
def test_rows_of_a_split(folder):
    source = HubConfig(dataset=str(folder)).build()
    assert [(d.id, d.text) for d in source.documents()] == [(f"train#{n + 1}", f"story {n}") for n in range(5)]
    assert source.notes == {"rows left out: the text field is empty or not text": 2}
    assert read(folder, split="test") == [("test#1", "exam")]
    assert read(folder, max_documents=2) == [("train#1", "story 0"), ("train#2", "story 1")]
    assert source.size_bytes() is None
    assert source.describe() == f"Hugging Face data set {folder}, split train"


def test_json_lines(tmp_path):
    write_rows(tmp_path / "data.jsonl", ["a", "b"], field="body")
    assert read(tmp_path, text_field="body") == [("train#1", "a"), ("train#2", "b")]


def test_what_is_not_there(folder):
    assert "Did you mean 'test'?" in error(folder, split="tests")
    assert "no field 'txt'; fields found: n, text." in error(folder, text_field="txt")
    assert "has no subset 'x'" in error(folder, subset="x")
    assert "holds no" in error(folder / "nowhere") or "not found" in error(folder / "nowhere")


def test_no_network_is_one_line():
    message = error("nobody/no-such-data-set-here")
    assert "cannot be reached" in message or "not found" in message


def test_identity(folder):
    before = HubConfig(dataset=str(folder)).build().identity()
    assert before == HubConfig(dataset=str(folder)).build().identity()
    assert before != HubConfig(dataset=str(folder), split="test").build().identity()
    write_rows(folder / "train.parquet", ["changed"])
    assert before != HubConfig(dataset=str(folder)).build().identity()


def test_a_data_set_must_be_named_and_the_package_installed(monkeypatch):
    with pytest.raises(ConfigError, match=r"data\.dataset="):
        HubConfig().build()
    with pytest.raises(ConfigError, match=r"^max_documents=0"):
        HubConfig(max_documents=0)
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "prospero\[hub\]"'):
        HubConfig(dataset="a/b").build()


def test_a_hub_that_cannot_be_reached_is_said_at_once(monkeypatch, caplog, capfd):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    asked = []
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: asked.append(name) or True)
    with caplog.at_level("INFO"):
        message = error("nobody/nothing", subset="small")
    assert asked == ["datasets"]
    assert "nobody/nothing small: the Hugging Face hub cannot be reached" in message
    assert "http://127.0.0.1:9" in message and "data=stdlib" in message
    said = [record.getMessage() for record in caplog.records]
    assert said == ["Asking http://127.0.0.1:9 for nobody/nothing small."]
    assert "Retrying" not in capfd.readouterr().err
