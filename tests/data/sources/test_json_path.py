"""Texts by their path in JSON of any depth, read as a stream."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from prospero.data.sources.files import FilesConfig
from prospero.data.sources.json_path import JsonPath
from prospero.data.sources.json_window import JsonWindow
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import read, write_rows

DEEP = {
    "meta": {"items": ["no, not these", '"] } \\'], "n": [1, [2, {"x": None}], -3e5, True]},
    "items": [
        {"body": "one", "other": {"body": "no"}},
        {"body": "two"},
        {"title": "no body"},
        {"body": ["not a text"]},
        {"body": "drei ü", "tail": []},
    ],
    "end": "x",
}


def blocks(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("items.*.body", ["one", "two", ["not a text"], "drei ü"]),
        ("items.1.body", ["two"]),
        ("end", ["x"]),
        ("meta.n.1.1.x", [None]),
        ("*.items.*", ["no, not these", '"] } \\']),
        ("items.*.other.*", ["no"]),
        ("nowhere", []),
    ],
)
def test_a_path_through_a_stream_and_through_a_value_is_the_same(path, found, size):
    for indent in (None, 1):
        window = JsonWindow(blocks(json.dumps(DEEP, indent=indent), size), "x", json.JSONDecoder(), 1000)
        streamed, whole = JsonPath(path), JsonPath(path)
        assert list(streamed.stream(window)) == found
        assert list(whole.values(DEEP)) == found
        assert (streamed.missed, streamed.nowhere) == (whole.missed, whole.nowhere)
        window.skip_space()
        assert not window.rest()


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a.*.b", ["a", None, "b"]), (r"a\.b.c", ["a.b", "c"]), (r"\*.*", ["*", None]), ("0", ["0"]), ("ü x", ["ü x"])],
)
def test_parts_of_a_path(text, parts):
    assert JsonPath(text).parts == parts


@pytest.mark.parametrize("text", ["", ".", "a..b", ".a", "a."])
def test_a_path_with_an_empty_part(text):
    with pytest.raises(ConfigError, match=r"has an empty part"):
        FilesConfig(path="x", json_path=text)


def test_texts_of_a_file_are_named_by_their_number(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text(json.dumps(DEEP))
    source = FilesConfig(path=str(path), json_path="items.*.body").build()
    assert [(d.id, d.text) for d in source.documents()] == [
        ("deep.json#1", "one"),
        ("deep.json#2", "two"),
        ("deep.json#4", "drei ü"),
    ]
    assert source.notes == {
        "rows left out: the text field is empty or not text": 1,
        "places left out: data.json_path does not go on there": 1,
    }
    assert [d.text for d in read(path, json_path="items.*", text_field="body")] == ["one", "two", "drei ü"]


def test_lines_are_named_by_line_and_place(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": [{"t": "a"}, {"t": "b"}]}\nbroken\n{"x": []}\n{"y": 1}\n{"x": [{"t": "c"}]}\n')
    source = FilesConfig(path=str(path), json_path="x.*.t").build()
    assert [(d.id, d.text) for d in source.documents()] == [
        ("a.jsonl#1.1", "a"),
        ("a.jsonl#1.2", "b"),
        ("a.jsonl#5.1", "c"),
    ]
    assert source.notes == {
        "broken JSON lines left out": 1,
        "places left out: data.json_path does not go on there": 1,
    }


@pytest.mark.parametrize(
    ("content", "path", "message"),
    [
        ('{"itms": [], "b": 1}', "items.*.x", "at the top is an object with the names itms, b, nothing called 'items'"),
        ('{"itms": [], "b": 1}', "items.*.x", "Did you mean 'itms'?"),
        ('{"items": [[]]}', "items.body", "at items is a list of 1, nothing called 'body'; * stands for each element"),
        ('{"items": "x"}', "items.*", "at items is a text, no list and no object"),
        ('{"items": ["1", "2"', "items.*", "does not end: cut off"),
        ('{"items": [{"body": "x"}, {"body": "y', "items.*.body", "not valid JSON near character"),
        ('{"skipped": [{"a": "b', "items", "cut off"),
        ('{"skipped": [}, "items": 1}', "items", "} without its beginning"),
        ('{"a" 1}', "b", "each with a colon"),
        ('{"a": 1 "b": 2}', "b", "a comma or } is missing"),
        ('{"items": ["1" "2"]}', "items.*", "a comma or ] is missing"),
        ("[" * 5000, "a", "cut off"),
    ],
)
def test_what_cannot_be_followed_is_one_line(tmp_path, content, path, message):
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(DataError) as caught:
        read(file, json_path=path)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_empty_lists_are_counted_and_json_must_be_there(tmp_path):
    (tmp_path / "a.json").write_text('{"items": []}')
    (tmp_path / "b.json").write_text('{"items": ["b"]}')
    source = FilesConfig(path=str(tmp_path), json_path="items.*").build()
    assert [d.text for d in source.documents()] == ["b"]
    assert source.notes == {"JSON files whose lists at data.json_path are empty": 1}
    (tmp_path / "c.txt").write_text("c")
    with pytest.raises(ConfigError, match=r"json_path=items\.\*: no file of .* is JSON"):
        FilesConfig(path=str(tmp_path / "c.txt"), json_path="items.*").build()


def test_identity_has_the_path_only_where_one_is_given(tmp_path):
    path = write_rows(tmp_path / "a.json", ["x"])
    plain = FilesConfig(path=str(path)).build().identity()
    assert FilesConfig(path=str(path), json_path="*").build().identity() == plain | {"json_path": "*"}


@pytest.mark.heavy
def test_memory_stays_flat_along_and_beside_the_path(tmp_path):
    line = "All work and no play makes Jack a dull boy. " * 20
    path = tmp_path / "a.json"
    with open(path, "w") as file:
        for name in ("beside", "items"):
            file.write(f'{"{" if name == "beside" else ","}"{name}": [')
            file.write(",".join(json.dumps({"body": line}) for _ in range(5_000)) + "]")
        file.write("}")
    source = FilesConfig(path=str(path), json_path="items.*.body", max_document_bytes=1 << 16).build()
    tracemalloc.start()
    count = sum(document.text == line for document in source.documents())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 12e6
