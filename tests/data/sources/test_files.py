"""Every form of file is read, every mistake is one line that names the file."""

import os
import tracemalloc

import pytest

from prospero.data.sources.files import BadFiles, FilesConfig
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import PACK, PNG, pack, read, texts, write_rows

TEXTS = ['To be,\nor not "to be"', "schön, 日本", "plain; a,b\tc"]


def error(path, **settings) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("packing", ["", *PACK])
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_tables_in_every_form_and_packing(tmp_path, form, packing):
    path = write_rows(tmp_path / f"rows.{form}{packing}", TEXTS)
    documents = read(path, tsv_quotes=True)
    assert [document.text for document in documents] == TEXTS
    assert [document.id for document in documents] == [f"{path.name}#{n}" for n in (1, 2, 3)]
    assert {document.source for document in documents} == {path.name}


@pytest.mark.parametrize("packing", ["", *PACK])
@pytest.mark.parametrize("ending", [".txt", ".md", ".py", ".unheard_of"])
def test_plain_text_in_every_packing(tmp_path, ending, packing):
    path = tmp_path / f"a{ending}"
    path.write_text("Line\r\nschön\n", encoding="utf-8", newline="")
    path = pack(path, packing) if packing else path
    assert [(document.id, document.text) for document in read(path)] == [(path.name, "Line\r\nschön\n")]


def test_a_folder_is_read_in_the_order_of_names_and_says_what_was_left_out(tmp_path):
    for name in ("b.txt", "a/z.md", "a/b/c.py", "A.txt", ".hidden.txt", ".git/x.txt", "picture.png", "noending"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "broken.txt").symlink_to("nowhere")
    source = FilesConfig(path=str(tmp_path)).build()
    for _ in range(2):  # the notes do not add up over readings
        assert [document.id for document in source.documents()] == ["A.txt", "a/b/c.py", "a/z.md", "b.txt"]
        assert [document.source for document in source.documents()] == ["A.txt", "a/b/c.py", "a/z.md", "b.txt"]
        assert source.notes == {
            "hidden files left out": 1,
            "hidden folders left out": 1,
            "files left out: ending .png": 1,
            "files left out: ending none": 1,
            "files left out: not a regular file, or a broken link": 1,
            "empty files": 1,
        }
    assert source.size_bytes() == sum(map(len, ("b.txt", "a/z.md", "a/b/c.py", "A.txt")))
    assert source.describe() == f"5 files of {tmp_path}, 0.0 MB"


def test_a_glob(tmp_path):
    for name in ("a.txt", "b.dat", "sub/c.dat", "[x].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [document.id for document in read(f"{tmp_path}/**/*.dat")] == ["b.dat", "sub/c.dat"]
    assert texts(f"{tmp_path}/?.txt") == ["a.txt"]
    assert texts(tmp_path / "[x].txt") == ["[x].txt"]
    assert "No file matches" in error(f"{tmp_path}/*.xyz")


def test_identity_changes_with_the_files_and_not_with_the_folder(tmp_path):
    first, second = tmp_path / "one", tmp_path / "two"
    for folder in (first, second):
        folder.mkdir()
        (folder / "a.txt").write_text("aaa")
        os.utime(folder / "a.txt", ns=(1, 1))

    def identity(**settings):
        return FilesConfig(path=str(first), **settings).build().identity()

    before = identity()
    assert before == FilesConfig(path=str(second)).build().identity()
    assert before != identity(text_field="other")
    os.utime(first / "a.txt", ns=(1, 2))
    assert before != identity()
    os.utime(first / "a.txt", ns=(1, 1))
    (first / "a.txt").rename(first / "b.txt")
    assert before != identity()


def test_path_must_be_given():
    with pytest.raises(ConfigError, match=r"data\.path="):
        FilesConfig().build()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_document_bytes": 3}, "max_document_bytes=3"),
        ({"text_field": ""}, "text_field"),
        ({"encoding": "utf-9"}, "encoding='utf-9'"),
        ({"encoding": "base64"}, "encoding='base64'"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        FilesConfig(**settings)


def test_missing_path_names_what_is_near(tmp_path):
    (tmp_path / "shakespeare.txt").write_text("x")
    assert "Did you mean 'shakespeare.txt'?" in error(tmp_path / "shakespear.txt")
    assert "shakespeare.txt" in error(tmp_path / "qqq")
    assert "has no 'folder'" in error(tmp_path / "folder" / "deeper" / "a.txt")


def test_empty_things(tmp_path):
    (tmp_path / "empty.txt").touch()
    assert "empty.txt is empty" in error(tmp_path / "empty.txt")
    assert "is empty" in error(tmp_path)
    (tmp_path / "none").mkdir()
    assert "holds no file with text" in error(tmp_path / "none")
    (tmp_path / "nul.txt").write_bytes(b"\0" * 10)
    assert "gave no text (10 NUL characters removed)" in error(tmp_path / "nul.txt")
    header = tmp_path / "header.csv"
    header.write_text("text\n")
    assert "gave no text" in error(header)
    pack(tmp_path / "empty.txt", ".gz")
    assert "gave no text" in error(tmp_path / "empty.txt.gz")


def test_no_permission(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("secret")
    path.chmod(0)
    if os.geteuid():
        assert "no permission to read" in error(path)
        return
    os.seteuid(65534)  # as root every file can be read
    try:
        message = error(path)
    finally:
        os.seteuid(0)
    assert "no permission to read" in message


def test_not_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in error(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt.gz", b"plain text", "the ending says gzip, but the file begins with"),
        ("a.txt.zst", PNG, "the ending says Zstandard, but the file looks like a PNG image"),
        ("a.jsonl.bz2", PACK[".gz"](b"{}"), "the ending says bzip2, but the file looks like gzip"),
        ("a.parquet", b"plain text, and more of it", "not a Parquet file"),
        ("a.parquet", b"PAR1 cut off", "not a Parquet file"),
        ("a.parquet.gz", PACK[".gz"](b"plain text"), "not a Parquet file"),
        ("a.txt", PNG, "looks like a PNG image"),
        ("a.csv", PACK[".gz"](b"text\na\n"), "looks like gzip"),
        ("a.md", b"PK\x03\x04" + bytes(100), "looks like a zip archive"),
        ("a.txt", bytes(range(256)) * 8, "not text"),
        ("a.txt", "Прыгает лиса через собаку. ".encode("cp1251") * 9, "give its encoding"),
        ("a.txt", "a text of some length, in UTF-16 without a mark".encode("utf-16-le") * 2, "utf-16-le"),
        ("a.jsonl", b"not json\nnot json either\n", "none of the 2 lines is a JSON object"),
        ("a.jsonl", b"[1, 2]\n", "a list, neither an object with a field 'text' nor a text"),
        ("a.json", b'[{"text": "a"}, {"text"', "not valid JSON near character 16"),
        ("a.json", b'[{"text": "a"},', "does not end"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.json", b"nonsense", "not valid JSON"),
        ("a.csv", b"id,txt\n1,a\n", "no field 'text'; fields found: id, txt."),
        ("a.jsonl", b'{"id": 1, "txt": "a"}\n', "Did you mean 'txt'?"),
    ],
)
def test_a_file_that_is_not_what_it_says(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    found = error(path)
    assert str(path) in found
    assert message in found


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_that_is_cut_off(tmp_path, packing):
    path = tmp_path / "a.txt"
    path.write_bytes(os.urandom(50_000).hex().encode())
    path = pack(path, packing)
    path.write_bytes(path.read_bytes()[:-5000])
    found = error(path)
    assert str(path) in found
    assert "damaged, cut off" in found


def test_parquet_columns(tmp_path):
    path = write_rows(tmp_path / "a.parquet", [1, 2])
    assert "column 'text' holds int64, not text" in error(path)
    assert "fields found: n, text" in error(path, text_field="txt")
    assert texts(write_rows(tmp_path / "b.parquet", ["x"], field="body"), text_field="body") == ["x"]


def test_bad_files_can_be_skipped(tmp_path):
    (tmp_path / "a.txt").write_bytes(PNG)
    (tmp_path / "b.txt").write_text("good")
    assert "a.txt" in error(tmp_path)
    source = FilesConfig(path=str(tmp_path), bad_files=BadFiles.skip).build()
    assert [document.text for document in source.documents()] == ["good"]
    assert any(note.startswith("bad files skipped") for note in source.notes)


@pytest.mark.heavy
def test_memory_stays_flat(tmp_path):
    """Twenty megabytes in four forms, with documents of one megabyte at most."""
    line = "All work and no play makes Jack a dull boy. " * 20
    (tmp_path / "a.txt").write_text(line * 22_000)
    write_rows(tmp_path / "b.jsonl", [line] * 22_000)
    write_rows(tmp_path / "c.csv", [line] * 22_000)
    pack(write_rows(tmp_path / "d.jsonl", [line] * 22_000), ".gz")
    source = FilesConfig(path=str(tmp_path), max_document_bytes=1 << 20).build()
    tracemalloc.start()
    total = sum(len(document.text) for document in source.documents())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 4 * 22_000 * len(line)
    assert peak < 16e6
