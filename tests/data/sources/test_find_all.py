"""Several paths and braces: names, order, and each file once."""

import os
from collections import Counter

import pytest

from prospero.data.sources.braces import has_braces, unbraced
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.find_all import find_all
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import read


@pytest.fixture
def folder(tmp_path):
    for name in ("news/a.txt", "news/b.md", "books/a.txt", "books/deep/c.txt", "letters/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "globs"),
    [
        ("a", ["a"]),
        ("{a}", ["{a}"]),
        ("{a,b}/*.{md,txt}", ["a/*.md", "a/*.txt", "b/*.md", "b/*.txt"]),
        ("x{a,{b,c}d}", ["xa", "xbd", "xcd"]),
        ("x{,y}", ["x", "xy"]),
        ("{a,a}", ["a"]),
    ],
)
def test_braces(pattern, globs):
    assert unbraced(pattern) == globs
    assert has_braces(pattern) == (globs != [pattern])


def test_too_many_braces_are_one_line():
    with pytest.raises(DataError, match=r"stand for more than 10000 globs"):
        find_all(["{a,b}" * 40], Counter())


def names(paths: list[str]) -> list[str]:
    return [file.name for file in find_all(paths, Counter())]


def test_files_of_several_paths_are_named_from_what_they_share_and_keep_the_order(folder):
    assert names([f"{folder}/news", f"{folder}/books/*.txt"]) == ["news/a.txt", "news/b.md", "books/a.txt"]
    assert names([f"{folder}/letters/a.txt", f"{folder}/books"]) == ["letters/a.txt", "books/a.txt", "books/deep/c.txt"]
    assert names([f"{folder}/{{news,books}}"]) == ["news/a.txt", "news/b.md", "books/a.txt", "books/deep/c.txt"]
    assert names([f"{folder}/{{letters,news}}/*.txt"]) == ["letters/a.txt", "news/a.txt"]
    assert names([f"{folder}/news"]) == ["a.txt", "b.md"]


def test_a_file_that_two_paths_mean_is_read_once_and_counted(folder):
    (folder / "link.txt").symlink_to("news/a.txt")
    notes: Counter[str] = Counter()
    found = find_all([f"{folder}/news", f"{folder}/*/a.txt", f"{folder}/link.txt"], notes)
    assert [file.name for file in found] == ["news/a.txt", "news/b.md", "books/a.txt", "letters/a.txt"]
    assert notes == {"further names of files that are read already (links)": 2}


def test_a_path_that_finds_nothing_is_said_whatever_the_others_find(folder):
    with pytest.raises(DataError, match=r"nothing\.txt does not exist"):
        names([f"{folder}/news", f"{folder}/nothing.txt"])
    with pytest.raises(DataError, match=r"No file matches .*/leters/\*\.txt"):
        names([f"{folder}/{{news,leters}}/*.txt"])


def test_a_file_whose_name_has_braces_is_itself(folder):
    (folder / "{a,b}.txt").write_text("braces")
    assert [document.text for document in read(folder / "{a,b}.txt")] == ["braces"]


def test_settings(folder):
    source = FilesConfig(paths=[f"{folder}/news", f"{folder}/letters"]).build()
    assert [document.id for document in source.documents()] == ["news/a.txt", "news/b.md", "letters/a.txt"]
    assert source.describe() == f"3 files of {folder}/news, {folder}/letters, 0.0 MB"
    with pytest.raises(ConfigError, match="two choices"):
        FilesConfig(path="a", paths=["b"])
    with pytest.raises(ConfigError, match="holds an empty path"):
        FilesConfig(paths=["a", " "])


def test_a_folder_that_is_not_utf8_is_found_by_itself_and_by_a_glob(tmp_path):
    folder = os.fsencode(tmp_path) + b"/w\xff"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with open(folder + b"/a\xfe.txt", "w") as file:
        file.write("text")
    assert [(d.id, d.text) for d in read(os.fsdecode(folder))] == [("a\ufffd.txt", "text")]
    assert [(d.id, d.text) for d in read(f"{tmp_path}/w?/*.txt")] == [("w\ufffd/a\ufffd.txt", "text")]
