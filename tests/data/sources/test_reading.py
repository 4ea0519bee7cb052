"""Decoding, repairs and cutting."""

import random

import pytest

from prospero.data.sources.files import FilesConfig
from prospero.data.sources.reading import Cutter, EncodingErrors
from prospero.errors import DataError
from tests.data.sources.corpora import read, texts, write_rows


@pytest.mark.parametrize(
    "data", [b"ab\xff\xfec", b"caf\xe9!", b"cut \xe6\x97", b"\xf0\x9f\x92 x", b"\xed\xa0\x80", b"ok"]
)
def test_invalid_utf8_is_repaired_as_python_does_and_counted(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    source = FilesConfig(path=str(path)).build()
    expected = data.decode("utf-8", "replace")
    assert [document.text for document in source.documents()] == [expected]
    assert source.notes["invalid byte sequences replaced by U+FFFD"] == expected.count("\ufffd")


def test_a_replacement_character_of_the_text_itself_is_no_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\ufffd", encoding="utf-8")
    assert texts(path, encoding_errors=EncodingErrors.strict) == ["\ufffd"]


def test_strict_stops_and_drop_leaves_the_document_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n{"text": "b\xffad"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl#2: bytes that are not utf-8"):
        read(path, encoding_errors=EncodingErrors.strict)
    source = FilesConfig(path=str(path), encoding_errors=EncodingErrors.drop).build()
    assert [document.text for document in source.documents()] == ["good"]
    assert source.notes["texts with invalid bytes dropped (data.encoding_errors=drop)"] == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("form", ["txt", "csv", "jsonl"])
def test_a_byte_order_mark_decides_and_is_taken_off(tmp_path, encoding, form):
    text = {"txt": "schön 日本", "csv": "text\nschön 日本\n", "jsonl": '{"text": "schön 日本"}\n'}[form]
    path = tmp_path / f"a.{form}"
    path.write_bytes(text.encode(encoding))
    assert texts(path) == ["schön 日本"]


@pytest.mark.parametrize("encoding", ["cp1252", "shift_jis", "utf-16-le"])
def test_an_encoding_can_be_named(tmp_path, encoding):
    text = "日本語" if encoding == "shift_jis" else "schön"
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding) * 50_000)
    assert texts(path, encoding=encoding) == [text * 50_000]


@pytest.mark.parametrize("form", ["txt", "csv", "jsonl", "json", "parquet"])
def test_nul_characters_are_removed_and_counted(tmp_path, form):
    if form == "txt":
        path = tmp_path / "a.txt"
        path.write_bytes(b"a\0b\0\0c")
    else:
        path = write_rows(tmp_path / f"a.{form}", ["a\0b\0\0c"])
    source = FilesConfig(path=str(path)).build()
    assert [document.text for document in source.documents()] == ["abc"]
    assert source.notes["NUL characters removed"] == 3


def test_invalid_utf8_within_parquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    column = pyarrow.array([b"good", b"b\xffad", None]).view(pyarrow.binary()).cast(pyarrow.binary())
    array = pyarrow.StringArray.from_buffers(3, column.buffers()[1], column.buffers()[2], column.buffers()[0], 1)
    pyarrow.parquet.write_table(pyarrow.table({"text": array}), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == ["good", "b\ufffdad"]


def test_long_texts_are_cut_at_line_ends_and_counted(tmp_path):
    lines = "".join(f"line {number} of the text\n" for number in range(100))
    path = tmp_path / "a.txt"
    path.write_text(lines)
    source = FilesConfig(path=str(path), max_document_bytes=500).build()
    documents = list(source.documents())
    assert "".join(document.text for document in documents) == lines
    assert [document.id for document in documents] == [f"a.txt#part{n + 1}" for n in range(len(documents))]
    assert all(document.text.endswith("\n") and 200 < len(document.text) <= 500 for document in documents[:-1])
    assert source.notes["texts cut into parts (data.max_document_bytes)"] == 1
    row = write_rows(tmp_path / "b.parquet", ["short", lines])
    ids = [document.id for document in read(row, max_document_bytes=1200)]
    assert ids == ["b.parquet#1", "b.parquet#2#part1", "b.parquet#2#part2"]


@pytest.mark.parametrize("alphabet", ["a", "é", "日", "🚀", "ab \n", "a日🚀é \n"])
@pytest.mark.parametrize("limit", [16, 100, 1000])
def test_the_cutter_loses_nothing_and_keeps_its_limit(alphabet, limit):
    generator = random.Random(0)
    text = "".join(generator.choices(alphabet, k=5000))
    cutter, parts, start = Cutter(limit), [], 0
    while start < len(text):
        size = generator.choice([1, 7, 50, 3000])
        parts += cutter.add(text[start : start + size])
        start += size
    parts.append(cutter.finish())
    assert "".join(parts) == text
    assert max(len(part.encode()) for part in parts) <= limit
    assert len(parts) < 12 * len(text.encode()) / limit


def test_one_enormous_line(tmp_path):
    """The same code as for half a gigabyte, with a smaller limit."""
    path = tmp_path / "a.txt"
    path.write_text("x" * 3_000_000)
    lengths = [len(text) for text in texts(path, max_document_bytes=1_000_000)]
    assert sum(lengths) == 3_000_000
    assert all(850_000 < length <= 1_000_000 for length in lengths[:-1])
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"text": "' + "x" * 3_000_000 + '"}\n{"text": "short"}\n')
    source = FilesConfig(path=str(rows), max_document_bytes=10_000).build()
    assert [document.text for document in source.documents()] == ["short"]
    assert source.notes["lines left out: longer than four times data.max_document_bytes"] == 1
    rows.write_text('{"text": "' + "x" * 3_000_000 + '"}')
    with pytest.raises(DataError, match=r"longer than 4 x data\.max_document_bytes"):
        read(rows, max_document_bytes=10_000)
    table = tmp_path / "a.csv"
    table.write_text("text\n" + "x" * 3_000_000)
    with pytest.raises(DataError, match="line 2 is longer than 4 x"):
        read(table, max_document_bytes=10_000)
    assert len(texts(table)[0]) == 3_000_000
    values = tmp_path / "a.json"
    values.write_text('[{"text": "' + "x" * 3_000_000 + '"}]')
    with pytest.raises(DataError, match="longer than 40000 characters"):
        read(values, max_document_bytes=10_000)
