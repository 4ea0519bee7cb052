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
