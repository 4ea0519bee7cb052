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
    path.write_text("id,text\n1,a\n2\n\n3,c,extra\n4,\n")
    source = FilesConfig(path=str(path)).build()
    assert [document.id for document in source.documents()] == ["a.csv#1", "a.csv#4"]
    assert source.notes == {"rows left out: no text field": 1, "rows left out: the text field is empty or not text": 1}


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
    [pyarrow.string(), pyarrow.large_string(), pyarrow.binary(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())],
)
def test_kinds_of_text_columns(tmp_path, kind):
    values = ["schön", None, "b"] * 300
    if pyarrow.types.is_dictionary(kind):
        column = pyarrow.array(values).dictionary_encode()
    else:
        column = pyarrow.array([v if v is None or kind != pyarrow.binary() else v.encode() for v in values], kind)
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet", row_group_size=100)
    source = FilesConfig(path=str(tmp_path / "a.parquet")).build()
    documents = list(source.documents())
    assert [document.text for document in documents] == ["schön", "b"] * 300
    assert documents[-1].id == "a.parquet#900"
    assert source.notes["rows left out: the text field is empty or not text"] == 300
