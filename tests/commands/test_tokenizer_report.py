"""`prospero tokenizer_report`: its numbers and page for data prepared now and for a run, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prospero.analysis.tokenizer.parallel_text import ARTICLE_ONE, HARD
from prospero.commands import tokenizer_report as command
from prospero.commands.tokenizer_report import TokenizerReportConfig, tokenizer_report
from prospero.commands.train import train
from prospero.configuration.compose import compose
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import TokenizerReportFolder

WORDS = ["data=files", "data.path=text.txt", "split=tail", "tokenizer=bpe", "tokenizer.vocab_size=258"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Text of which the one merge is "th"; no tokenizer lies in the hub's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "KNOWN", {})
    Path("text.txt").write_text("thththth <&> дом\n" * 60)
    ByteTokenizerConfig().build().save(tmp_path / "bytes" / "tokenizer.json")
    return tmp_path


def numbers(folder: str) -> dict:
    return json.loads(TokenizerReportFolder(Path(folder)).summary.read_text())


def test_numbers_of_data_prepared_now_beside_another_tokenizer(place, capsys):
    assert tokenizer_report(compose("tokenizer_report", [*WORDS, "beside=[bytes]"])) == 0
    found = numbers("outputs/tokenizer_report")
    own, bytes_ = found["tokenizers"]["this"], found["tokenizers"]["bytes"]
    n_bytes = 60 * len("thththth <&> дом\n".encode())
    assert own["sources"]["text.txt"]["n_bytes"] == n_bytes
    assert bytes_["sources"]["text.txt"]["tokens"] == n_bytes and bytes_["bytes_per_token"] == 1.0
    assert own["scripts"]["Latin"] == {"words": 60, "characters": 480, "n_bytes": 540, "tokens": 300, "whole": 0}
    assert bytes_["scripts"]["Cyrillic"]["tokens"] == 60 * 7
    assert bytes_["languages"]["Greek"]["tokens"] == len(ARTICLE_ONE["Greek"].encode())
    assert found["longest"][0] == {"id": 257, "token": "th", "bytes": 2, "count": 240}
    never = set(range(256)) - set("th <&> дом\n".encode()) | {ord("t"), ord("h")}  # these two stand together only
    assert len(found["unused"]) == len(never)
    assert own["hard"] == dict.fromkeys(HARD) and own["changed"] == 0 and found["study"] == {}
    page = TokenizerReportFolder(Path("outputs/tokenizer_report")).page.read_text()
    assert "<bdi>th</bdi> × 240" in page and "<&>" not in page
    assert re.search(r"this +258 +1\.\d+  all\nbytes +257 +1\.000  all", capsys.readouterr().out)


def test_what_it_refuses_writes_nothing(place):
    with pytest.raises(ConfigError, match=r"vocab_sizes= is for a tokenizer that is trained to a size"):
        tokenizer_report(compose("tokenizer_report", [*WORDS[:3], "tokenizer=byte", "vocab_sizes=[300]"]))
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size=5 is too small"):
        tokenizer_report(compose("tokenizer_report", [*WORDS, "vocab_sizes=[5]"]))
    with pytest.raises(DataError, match=r"no tokenizer at nowhere"):
        tokenizer_report(compose("tokenizer_report", [*WORDS, "beside=[nowhere]"]))
    Path("there/vocab_300").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"vocab_300 is there from an earlier study"):
        tokenizer_report(compose("tokenizer_report", [*WORDS, "vocab_sizes=[300]", "out=there"]))
    assert not Path("outputs").exists()
    wrongs: list[dict[str, Any]] = [
        {"most_mb": 0},
        {"study_mb": 0},
        {"run": " "},
        {"out": ""},
        {"vocab_sizes": [300, 300]},
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))}="):
            TokenizerReportConfig(**wrong)


@pytest.mark.heavy
def test_of_a_run_it_is_its_own_tokenizer_and_data(place):
    small = ["model=tiny", "model.d_model=32", "model.n_heads=2", "model.n_kv_heads=1", "callbacks=[]", "max_steps=1"]
    fast = ["seq_len=16", "global_batch_size=2", "trainer.accelerator=cpu", "trainer.precision=float32"]
    assert train(compose("train", [*WORDS, *small, *fast, "callbacks=[checkpoints]", "run_dir=outputs/train/a"])) == 0
    with pytest.raises(ConfigError, match=r"run=a has its own tokenizer and data, and split\.\w+= describes others"):
        tokenizer_report(compose("tokenizer_report", ["run=a", "split.val_fraction=0.3"]))
    assert tokenizer_report(compose("tokenizer_report", ["run=a"])) == 0
    receipt = json.loads(Path("outputs/train/a/receipt.json").read_text())
    found = numbers("outputs/train/a/tokenizer_report")
    assert found["data"]["fingerprint"] == receipt["fingerprint"]
    assert found["longest"][0]["token"] == "th"
    for folder in Path("outputs/data").iterdir():
        folder.rename(place / folder.name)
    with pytest.raises(ConfigError, match=r"the data that .*a was trained on are not under outputs/data"):
        tokenizer_report(compose("tokenizer_report", ["run=a"]))


@pytest.mark.heavy
def test_a_small_model_for_each_size_reads_the_same_text(place, monkeypatch):
    asked = []

    def trained(config) -> int:
        asked.append((config.tokenizer.vocab_size, config.max_tokens, config.run_dir))
        Path(config.run_dir).mkdir(parents=True)
        row = {"status": "completed", "val/bits_per_byte": 1 / config.tokenizer.vocab_size}
        Path(config.run_dir, "result.json").write_text(json.dumps(row))
        return 0

    monkeypatch.setattr("prospero.commands.train.train", trained)
    words = [*WORDS[:3], "tokenizer=bpe", "vocab_sizes=[260,258]", "study_mb=2", "out=report"]
    assert tokenizer_report(compose("tokenizer_report", words)) == 0
    study = numbers("report")["study"]
    assert list(study) == ["258", "260"]
    assert [size for size, _, _ in asked] == [258, 260]
    for size, tokens, run in asked:
        assert tokens == round(2e6 / study[str(size)]["bytes_per_token"])
        assert run == f"report/vocab_{size}" and study[str(size)]["bits_per_byte"] == 1 / size
