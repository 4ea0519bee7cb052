"""JSON lines and JSON values, streamed; broken and odd rows are counted."""

import io
import json

import pytest

from prospero.data.sources import reading
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.json_format import json_values, read_json
from prospero.data.sources.reading import Reading
from prospero.errors import DataError
from tests.data.sources.corpora import read, texts

VALUES = [{"text": "a"}, {"x": [1, {"y": "}]"}], "text": 'b \\" ]'}, {"text": "日本"}, {"text": "c"}]


@pytest.mark.parametrize("block", [1, 5, 64, 1 << 20])
@pytest.mark.parametrize(
    "content",
    [
        json.dumps(VALUES),
        json.dumps(VALUES, indent=2, ensure_ascii=False) + "\n\n",
        "\n".join(json.dumps(value) for value in VALUES),
        json.dumps([value["text"] for value in VALUES]),
    ],
)
def test_lists_and_values_one_after_another(monkeypatch, block, content):
    monkeypatch.setattr(reading, "HEAD_BYTES", block)
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    found = list(read_json(io.BytesIO(content.encode()), "a.json", Reading()))
    assert [document.text for document in found] == [value["text"] for value in VALUES]
    assert found[1].id == "a.json#2"


def test_odd_rows_are_counted_and_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        '{"text": "good"}',
        "{broken",
        '{"other": 1}',
        '{"text": null}',
        '{"text": 5}',
        '{"text": ""}',
        "",
        '"bare"',
    ]
    path.write_text("\n".join(rows) + '\n{"text": "cut')
    source = FilesConfig(path=str(path)).build()
    assert [(document.id, document.text) for document in source.documents()] == [
        ("a.jsonl#1", "good"),
        ("a.jsonl#8", "bare"),
    ]
    assert source.notes == {
        "broken JSON lines left out": 2,
        "rows left out: no text field": 1,
        "rows left out: the text field is empty or not text": 3,
    }


def test_lone_surrogates_are_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "half \\ud83d pair \\ud83d\\ude80"}\n')
    source = FilesConfig(path=str(path)).build()
    assert [document.text for document in source.documents()] == ["half \ufffd pair 🚀"]
    assert source.notes["lone surrogates replaced by U+FFFD"] == 1


def test_line_separators_within_a_string_do_not_end_a_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\u2028b\x85c"}\r\n', encoding="utf-8", newline="")
    assert texts(path) == ["a\u2028b\x85c"]


def test_deep_nesting_is_a_broken_line_and_no_crash(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n' + "[" * 200_000 + "\n")
    assert texts(path) == ["good"]


def test_missing_field_names_what_is_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"content": "a", "id": 3}]')
    with pytest.raises(
        DataError, match=r"a\.json#1: no field 'contents'; fields found: content, id\..*Did you mean 'content'"
    ):
        read(path, text_field="contents")


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize("rest", ['\n[{"text": "two"}]', '{"text": "two"}', ", 3", "]"])
def test_what_follows_a_list_is_refused_with_its_place(monkeypatch, block, rest):
    monkeypatch.setattr(reading, "HEAD_BYTES", block)
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    content = '[{"text": "one"}]'
    with pytest.raises(
        DataError, match=f"list ends at character {len(content + rest) - len(rest.lstrip())} and someth"
    ):
        list(read_json(io.BytesIO((content + rest).encode()), "a.json", Reading()))
    assert [document.text for document in read_json(io.BytesIO(f"{content} \n".encode()), "a", Reading())] == ["one"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_field_that_stands_twice_in_an_object_is_counted(tmp_path, name):
    (tmp_path / name).write_text('{"text": "first", "id": 1, "text": "last"}\n{"text": "b", "id": 1, "id": 2}\n')
    source = FilesConfig(path=str(tmp_path / name)).build()
    assert [document.text for document in source.documents()] == ["last", "b"]
    assert source.notes == {"objects with the text field twice: the last one was taken": 1}


def test_a_number_that_a_block_cuts_is_one_number():
    for text in ("[12.5, -3e5]", "12.5 -3e5"):
        for size in (1, 2, 3, 4):
            blocks = (text[start : start + size] for start in range(0, len(text), size))
            assert list(json_values(json.JSONDecoder(), blocks, "x", 100)) == [12.5, -3e5]
