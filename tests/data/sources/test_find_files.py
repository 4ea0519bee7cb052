"""Endings, names and the hash of a listing."""

from collections import Counter
from pathlib import Path

import pytest

from prospero.data.sources.find_files import FoundFile, content_ending, find_files, listing_hash


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.txt", ".txt"),
        ("A.JSONL.GZ", ".jsonl"),
        ("a.gz", ""),
        ("README", ""),
        ("a.b.parquet", ".parquet"),
        (".bashrc", ""),
    ],
)
def test_content_ending(name, ending):
    assert content_ending(name) == ending


def test_names_that_are_not_unicode_become_printable(tmp_path):
    path = Path(str(tmp_path)) / "a\udcff.txt"
    try:
        path.write_text("text")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes Unicode names only")
    found = find_files(str(tmp_path), Counter())
    assert [file.name for file in found] == ["a\ufffd.txt"]
    assert found[0].path.read_text() == "text"


def test_listing_hash_sees_name_size_and_time():
    base = FoundFile(Path("x"), "a", 1, 1)
    others = [FoundFile(Path("x"), "b", 1, 1), FoundFile(Path("x"), "a", 2, 1), FoundFile(Path("x"), "a", 1, 2)]
    assert len({listing_hash([file])["listing"] for file in [base, *others]}) == 4
    assert listing_hash([FoundFile(Path("elsewhere"), "a", 1, 1)]) == listing_hash([base])
    assert listing_hash([base, base]) | {"listing": ""} == {"files": 2, "bytes": 2, "listing": ""}


def found(path: object) -> tuple[list[str], dict[str, int]]:
    notes: Counter[str] = Counter()
    return [file.name for file in find_files(str(path), notes)], dict(notes)


def test_linked_folders_are_read_once_and_loops_end(tmp_path):
    for name in ("c/y.txt", "d/x.txt", "d/deep/w.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "c/a_link").symlink_to("../d")
    assert found(tmp_path / "c") == (["a_link/deep/w.txt", "a_link/x.txt", "y.txt"], {})
    (tmp_path / "d/back").symlink_to("../c")  # a loop
    (tmp_path / "c/second").symlink_to("../d/deep")  # the same files in a second way
    names, notes = found(tmp_path / "c")
    assert names == ["a_link/deep/w.txt", "a_link/x.txt", "y.txt"]
    assert notes == {"folders left out: a link led to them before": 2}


def test_a_folder_of_nothing_but_a_link_and_a_link_as_the_folder(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x.txt").write_text("text")
    (tmp_path / "only").mkdir()
    (tmp_path / "only/l").symlink_to("../d")
    (tmp_path / "itself").symlink_to("d")
    assert found(tmp_path / "only") == (["l/x.txt"], {})
    assert found(tmp_path / "itself") == (["x.txt"], {})


def test_a_real_name_has_precedence_over_links_to_it(tmp_path):
    (tmp_path / "z").mkdir()
    (tmp_path / "z/x.txt").write_text("text")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "a.txt").symlink_to("z/x.txt")
    assert found(tmp_path) == (
        ["z/x.txt"],
        {
            "folders left out: a link led to them before": 1,
            "further names of files that are read already (links)": 1,
        },
    )


def test_a_glob_gives_each_file_once_and_says_what_it_leaves_out(tmp_path):
    (tmp_path / "g/a/b").mkdir(parents=True)
    (tmp_path / "g/a/b/t.txt").write_text("once only")
    assert found(tmp_path / "g/**/**/*.txt") == (["a/b/t.txt"], {})
    (tmp_path / "g/a/loop").symlink_to("../a")
    (tmp_path / "g/a/again.txt").symlink_to("b/t.txt")
    names, notes = found(tmp_path / "g/**/*.txt")
    assert names == ["a/b/t.txt"] and "further names of files that are read already (links)" in notes
    (tmp_path / "g/a/broken.txt").symlink_to("nowhere")
    (tmp_path / "g/a/own.txt").write_text("text")
    names, notes = found(tmp_path / "g/a/*")
    assert names == ["again.txt", "own.txt"]
    assert notes == {
        "folders left out: '*' stays in one folder, '**' goes into all below": 2,
        "files left out: not a regular file, or a broken link": 1,
    }
