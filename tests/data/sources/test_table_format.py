"""Tables: quoting, large fields, short rows, kinds of columns."""

import pyarrow
import pyarrow.parquet
import pytest

from prospero.data.sources.files import FilesConfig
from prospero.errors import DataError
from tests.data.sources.corpora import read, texts


def test_fields_over_the_limit_of_the_csv_module(tmp_path):
    path = tmp_path / "a.csv"
    long = "line\n" * 100_000
    path.write_text(f'id,text\n1,"{long}"\n2,short\n')
    assert texts(path) == [long, "short"]


def test_short_rows_and_blank_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,a\n2\n\n3,c,,\n4,\n")
    source = FilesConfig(path=str(path)).build()
    assert [document.id for document in source.documents()] == ["a.csv#1", "a.csv#4"]
    assert source.notes == {"rows left out: no text field": 1, "rows left out: the text field is empty or not text": 1}


@pytest.mark.heavy
def test_large_parquet_rows_are_read_a_few_at_a_time(tmp_path):
    texts_of_a_megabyte = [bytes([97 + number % 26]).decode() * 1_000_000 for number in range(64)]
    table = pyarrow.table({"text": texts_of_a_megabyte})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", use_dictionary=False, write_batch_size=1)
    before = pyarrow.total_allocated_bytes()
    del table
    documents = iter(FilesConfig(path=str(tmp_path / "a.parquet")).build().documents())
    assert [len(next(documents).text) for _ in range(3)] == [1_000_000] * 3
    assert pyarrow.total_allocated_bytes() < before - 40e6
    assert len(list(documents)) == 61


def test_a_quote_that_never_closes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text\n"open ' + "x\n" * 200_000)
    with pytest.raises(DataError, match=r"a\.csv: not a well-formed table near line"):
        read(path, max_document_bytes=1000)


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.binary(),
        pyarrow.binary_view(),
        pyarrow.json_(pyarrow.string()),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
)
def test_kinds_of_text_columns(tmp_path, kind):
    values = ["schön", None, "b"] * 300
    if pyarrow.types.is_dictionary(kind):
        column = pyarrow.array(values).dictionary_encode()
    else:
        in_bytes = kind in (pyarrow.binary(), pyarrow.binary_view())
        column = pyarrow.array([v if v is None or not in_bytes else v.encode() for v in values], kind)
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet", row_group_size=100)
    source = FilesConfig(path=str(tmp_path / "a.parquet")).build()
    documents = list(source.documents())
    assert [document.text for document in documents] == ["schön", "b"] * 300
    assert documents[-1].id == "a.parquet#900"
    assert source.notes["rows left out: the text field is empty or not text"] == 300


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "id,text\n1,First half, second half\n2,Another\n", "line 2 has 3 fields, the header 2; .*quotes"),
        ("a.csv", "text,id\nFirst half, second half,1\n", "line 2 has 3 fields, the header 2"),
        ("a.tsv", "id\ttext\n1\ta\n2\tb\tc\n", r"line 3 has 3 fields, the header 2; .*data\.tsv_quotes"),
        ("a.csv", "text,id,text\na,1,b\n", "2 columns are called 'text'"),
        ("a.tsv", "text\ttext\na\tb\n", "2 columns are called 'text'"),
        ("a.csv", 'id,text\n1,"Yes, she said\n2,plain row\n3,"No\n', "not a well-formed table near line 4"),
        ("a.csv", 'id,text\n1,"Yes, she said\n2,plain row\n3,No\n', "not a well-formed table near line 4"),
    ],
)
def test_rows_that_would_lose_text_or_run_together_are_refused_with_their_place(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=reason):
        read(tmp_path / name)


def test_quotes_are_text_in_tsv_unless_asked_for(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\n1\t"Yes, she said\n2\tplain row\n3\t"No\n4\t"both"\n')
    source = FilesConfig(path=str(path)).build()
    assert [document.text for document in source.documents()] == ['"Yes, she said', "plain row", '"No', '"both"']
    assert source.notes == {"texts in double quotes, which are taken as part of the text (data.tsv_quotes)": 1}
    path.write_text('id\ttext\n1\t"two\nlines"\n2\t"a ""word"""\n')
    source = FilesConfig(path=str(path), tsv_quotes=True).build()
    assert [document.text for document in source.documents()] == ["two\nlines", 'a "word"']
    assert source.notes == {"quoted texts that span lines": 1}


def test_two_parquet_columns_of_one_name_are_one_line(tmp_path):
    column = pyarrow.array(["a"])
    pyarrow.parquet.write_table(pyarrow.table([column, column], names=["text", "text"]), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet: 2 columns are called 'text'"):
        read(tmp_path / "d.parquet")


@pytest.mark.heavy
def test_parquet_that_unpacks_to_what_no_text_does_is_refused(tmp_path):
    column = pyarrow.array(["x" * 1_000_000] * 100).dictionary_encode()
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: its \d+ bytes unpack to more than 67 MB"):
        read(tmp_path / "a.parquet")
    assert len(texts(tmp_path / "a.parquet", max_unpacking_ratio=None)) == 100
