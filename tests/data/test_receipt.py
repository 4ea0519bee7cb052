"""Receipts are plain values, and a damaged one is refused."""

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from prospero.data.receipt import FORMAT, DocumentCounts, digest, plain, read_receipt, write_receipt
from prospero.errors import DataError


class Colour(Enum):
    red = 7


@dataclass
class Inner:
    path: Path = Path("a/b")


@dataclass
class Outer:
    colour: Colour = Colour.red
    inner: Inner = field(default_factory=Inner)
    several: tuple = (1, None)


def test_settings_become_plain_values():
    expected = {"class": "Outer", "colour": "red", "inner": {"class": "Inner", "path": "a/b"}, "several": [1, None]}
    assert plain(Outer()) == expected == json.loads(json.dumps(expected))


def test_the_digest_changes_with_every_part():
    values = [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}, {"a": 1}, ["a", 1], "é", None]
    assert len({digest(value) for value in values}) == len(values)
    assert digest(values[0]) == digest(dict(values[0]))


def test_documents_and_bytes_are_counted():
    counts = DocumentCounts()
    for outcome, size in [("read", 10), ("read", 4), ("kept", 9), ("dropped", 4)]:
        counts.add(outcome, size)
    assert counts.plain()["documents"] == {"read": 2, "kept": 1, "dropped": 1, "duplicate": 0}
    assert counts.plain()["bytes"] == {"read": 14, "kept": 9, "dropped": 4, "duplicate": 0}


def test_a_receipt_comes_back_or_is_refused(tmp_path):
    receipt = {"format": FORMAT, "fingerprint": "é", "splits": {}, "sources": [], "tokenizer": {}, "files": {}}
    receipt["bigram_bits_per_byte"] = 2.0
    write_receipt(tmp_path, receipt)
    assert read_receipt(tmp_path) == receipt
    for content in ("", "[]", "{}", "3", json.dumps(receipt | {"format": FORMAT + 1})):
        (tmp_path / "receipt.json").write_text(content)
        with pytest.raises(DataError, match="prepare again"):
            read_receipt(tmp_path)
    written = json.dumps(receipt | {"digest": digest(receipt)}, indent=2, ensure_ascii=False) + "\n"
    (tmp_path / "receipt.json").write_text(written)
    assert read_receipt(tmp_path) == receipt
    for changed in (written.replace("2.0", "2.5"), written.replace("  ", "   "), written.replace('"é"', '"\\u00e9"')):
        (tmp_path / "receipt.json").write_text(changed)
        with pytest.raises(DataError, match="damaged or was changed by hand"):
            read_receipt(tmp_path)
    with pytest.raises(DataError, match="run prepare first"):
        read_receipt(tmp_path / "nowhere")
