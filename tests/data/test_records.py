"""Records by their fields: every format gives the same, and whatever is wrong is one line."""

import json

import pytest

from prospero.data.records import RecordsConfig, fingerprint
from prospero.errors import ConfigError, DataError

ROWS = [{"title": "eins, zwei", "body": "naïve {x}\n2", "n": "3"}, {"title": "", "body": '"b"', "n": "4"}]


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str) -> str:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return str(tmp_path / name)

    return write


def read(path, *fields):
    return RecordsConfig(path=path).read(fields)


def one_line(path, *fields) -> str:
    with pytest.raises(DataError) as caught:
        for record in read(path, *fields):
            for field in fields:
                record.text(field)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_format_gives_the_same_records(tmp_path, write):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    paths = [
        write("a.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"),
        write("a.json", json.dumps(ROWS)),
        write("a.csv", 'title,body,n\n"eins, zwei","naïve {x}\n2",3\n,"""b""",4\n'),
        str(tmp_path / "a.parquet"),
    ]
    for path in paths:
        records = read(path, "body", "title")
        assert [(r.text("body"), r.text("title")) for r in records] == [(r["body"], r["title"]) for r in ROWS], path


def test_tab_separated_values_have_no_quotes(write):
    (record,) = read(write("a.tsv", 'q\ta\n"x\t"y"\n'), "q", "a")
    assert (record.text("q"), record.text("a")) == ('"x', '"y"')


def test_a_dot_reaches_into_objects_and_lists(write):
    row = {"choices": {"text": ["a", "b"]}, "answers": [{"text": "x"}, {"text": "y"}], "x.y": 1.5, "half": "\ud83d"}
    (record,) = read(write("a.jsonl", json.dumps(row)), "choices.text", "answers.text", "x.y")
    assert record.texts("choices.text") == ["a", "b"]
    assert record.texts("answers.text") == ["x", "y"]
    assert record.text("x.y") == "1.5"
    assert record.text("half") == "\ufffd" * 3  # can be written as UTF-8, unlike half of a character


def test_a_missing_field_is_named_with_those_found_and_the_nearest(write):
    path = write("a.jsonl", '{"article": "x", "summary": "y"}\n{"article": "x"}\n')
    expected = f"{path} line 1: no field 'artikel'; fields found: article, summary. Did you mean 'article'?"
    assert one_line(path, "artikel").startswith(expected)
    assert one_line(path, "summary").startswith(f"{path} line 2: no field 'summary'; fields found: article.")
    assert "no field 'b'; fields found: a." in one_line(write("a.csv", "a\nx\n"), "b")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2 is no JSON"),
        ("a.jsonl", "[1]\n", "line 1 is a list, not an object"),
        ("a.jsonl", '{"a": null}\n', "field 'a' holds nothing (null), not a text"),
        ("a.jsonl", '{"a": {"b": 1, "c": 2}}\n', "reach into it with one of a.b, a.c"),
        ("a.json", '[{"a": 1}, ', "is cut off"),
        ("a.json", "[]", "holds no record"),
        ("a.csv", "a,a\n1,2\n", "2 columns are called 'a'"),
        ("a.csv", "a,b\n1\n", "the row that ends at line 2 has 1 fields, the header 2"),
        ("a.parquet", "no", "not a Parquet file"),
        ("a.txt", "a", "has no rows with fields"),
    ],
)
def test_what_cannot_be_read_is_one_line(write, name, content, message):
    pytest.importorskip("pyarrow")
    assert message in one_line(write(name, content), "a")


def test_a_file_that_is_not_there_names_its_neighbour(write):
    write("mine.jsonl", "{}")
    path = write("other.jsonl", "{}").replace("other", "min")
    assert "Did you mean 'mine.jsonl'?" in one_line(path, "a")


def test_two_sources_are_refused():
    with pytest.raises(ConfigError, match="two sources"):
        RecordsConfig(path="a.jsonl", dataset="a/b")
    with pytest.raises(ConfigError, match="give dataset="):
        RecordsConfig(path="a.jsonl", subset="x")


def test_a_list_of_texts(write):
    (record,) = read(write("a.jsonl", '{"one": "x", "many": ["a", 2], "none": [], "odd": ["a", null]}'))
    assert (record.texts("one"), record.texts("many")) == (["x"], ["a", "2"])
    for field, what in (("none", "an empty list"), ("odd", "nothing")):
        with pytest.raises(DataError, match=what):
            record.texts(field)


def test_the_fingerprint_changes_with_any_item():
    assert fingerprint([["a", "b"]]) == fingerprint([["a", "b"]])
    assert len({fingerprint(items) for items in ([["a", "b"]], [["ab", ""]], [["a", "b"], ["a", "b"]], [])}) == 4


@pytest.mark.heavy
def test_hub_rows_of_a_local_data_set(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs prospero[hub]")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "test.jsonl").write_text('{"q": "x", "choices": {"text": ["a", "b"]}}\n')
    config = RecordsConfig(dataset=str(tmp_path))
    (record,) = config.read(["q", "choices.text"])
    assert (record.text("q"), record.texts("choices.text")) == ("x", ["a", "b"])
    with pytest.raises(DataError, match=r"no field 'p'; fields found: q, choices\."):
        config.read(["p"])


@pytest.mark.heavy
def test_without_network_a_public_set_says_what_to_do(monkeypatch):
    pytest.importorskip("datasets", reason="needs prospero[hub]")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        RecordsConfig(dataset="openai/gsm8k", subset="main").read(["question"])
    assert "\n" not in str(caught.value)
    assert "cannot be reached" in str(caught.value) and "data.path=<file>" in str(caught.value)
