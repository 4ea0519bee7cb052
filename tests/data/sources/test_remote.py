"""Files of fsspec's file systems in memory and on the disk; nothing is asked of a network."""

import gzip
import sys

import pytest

from prospero.data.sources import remote
from prospero.data.sources.files import FilesConfig
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import PNG, read, write_rows

fsspec = pytest.importorskip("fsspec", reason="needs prospero[remote]")


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name, content in {
        "bucket/a.txt": b"a",
        "bucket/deep/b.jsonl.gz": gzip.compress(b'{"text": "b"}\n'),
        "bucket/deep/.hidden.txt": b"no",
        "bucket/.git/x.txt": b"no",
        "bucket/p.png": PNG,
        "other/c.txt": b"c",
    }.items():
        system.pipe_file(f"/{name}", content)
    yield system
    system.store.clear()


def error(path: str, **settings) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def found(path: str) -> list[tuple[str, str]]:
    return [(document.id, document.text) for document in read(path)]


def test_a_folder_a_file_and_a_glob(memory):
    source = FilesConfig(path="memory://bucket").build()
    assert [(d.id, d.text) for d in source.documents()] == [("a.txt", "a"), ("deep/b.jsonl.gz#1", "b")]
    assert source.notes == {
        "hidden files left out": 1,
        "files in hidden folders left out": 1,
        "files left out: ending .png": 1,
    }
    assert found("memory://bucket/a.txt") == [("a.txt", "a")]
    assert found("memory://bucket/**/*.gz") == [("deep/b.jsonl.gz#1", "b")]
    assert found("memory://{bucket,other}/*.txt") == [("bucket/a.txt", "a"), ("other/c.txt", "c")]


def test_files_of_this_machine_by_url_and_several_protocols_in_one_list(memory, tmp_path):
    write_rows(tmp_path / "rows.parquet", ["x", "y"])
    assert found(f"file://{tmp_path}/rows.parquet") == [("rows.parquet#1", "x"), ("rows.parquet#2", "y")]
    source = FilesConfig(paths=[str(tmp_path), "memory://other"]).build()
    assert [d.id for d in source.documents()] == ["rows.parquet#1", "rows.parquet#2", "memory://other/c.txt"]


def test_identity_changes_with_the_mark_of_a_file_though_its_size_stays(memory):
    def identity() -> dict[str, object]:
        return FilesConfig(path="memory://bucket").build().identity()

    before = identity()
    assert before == identity()
    memory.pipe_file("/bucket/a.txt", b"z")
    assert before != identity()


def test_a_file_without_any_mark_is_said(memory, monkeypatch, caplog):
    monkeypatch.setattr(remote, "_MARKS", ())
    FilesConfig(path="memory://other").build()
    assert "memory://other/c.txt: its server gives no mark of its content" in caplog.text


def test_what_is_not_there_or_is_damaged_is_one_line(memory):
    assert error("memory://bucket/nothing.txt").startswith("memory://bucket/nothing.txt: there is no such file")
    assert "no file with text is found" in error("memory://bucket/*.xyz")
    assert "no file with text is found there (1 files left out: ending .png)" in error_of_png(memory)
    memory.pipe_file("/e/empty.txt", b"")
    assert "all of them are empty" in error("memory://e")
    memory.pipe_file("/d/cut.txt.gz", gzip.compress(b"x" * 99)[:-9])
    assert error("memory://d").startswith("memory://d/cut.txt.gz: damaged, cut off")
    memory.pipe_file("/d/cut.txt.gz", PNG)
    assert error("memory://d").startswith("memory://d/cut.txt.gz: the ending says gzip")
    assert "nosuch" in error("nosuch://bucket/a.txt")


def error_of_png(memory) -> str:
    memory.pipe_file("/png/x.png", PNG)
    return error("memory://png")


def test_a_server_that_refuses_halfway_is_one_line(memory, monkeypatch):
    class Refusing:
        def read(self, n: int) -> bytes:
            raise RuntimeError("503 slow down\nand more")

        def seekable(self) -> bool:
            return True

        def close(self) -> None:
            return

    source = FilesConfig(path="memory://other/c.txt").build()
    monkeypatch.setattr(type(memory), "open", lambda self, path, mode: Refusing())
    with pytest.raises(DataError, match=r"^memory://other/c.txt: cannot be read \(RuntimeError: 503 slow down\)$"):
        list(source.documents())


def test_packages_that_are_missing_are_named(memory, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # importing it raises ImportError
    fsspec.config.conf.clear()
    message = error("s3://bucket/a.txt")
    assert "s3://bucket/a.txt needs another package" in message and "pip install s3fs for s3://" in message
    monkeypatch.setattr(remote.importlib.util, "find_spec", lambda name: None)
    assert 'needs the package "fsspec": pip install "prospero[remote]"' in error("memory://bucket")


def test_archives_are_read_from_a_server_too(memory, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("in.txt", "inside")
    memory.pipe_file("/z/x.zip", (tmp_path / "x.zip").read_bytes())
    assert found("memory://z/x.zip") == [("x.zip#in.txt", "inside")]
    memory.pipe_file("/z/x.zip", (tmp_path / "x.zip").read_bytes()[:-9])
    assert error("memory://z/x.zip").startswith("memory://z/x.zip: no zip archive, or one that is damaged or cut off")
