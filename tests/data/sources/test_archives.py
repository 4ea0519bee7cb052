"""Archives made in memory: members as documents, damage anywhere as one line."""

import gzip
import io
import json
import re
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from prospero.data.sources import compression
from prospero.data.sources.files import BadFiles, FilesConfig
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import PACK, PNG, read

MEMBERS = {
    "b.txt": b"bee",
    "./a/z.md": b"zed",
    "rows.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "more.txt.gz": gzip.compress(b"packed"),
    "picture.png": PNG,
    "a/.hidden/x.txt": b"hidden",
    "a/.x.txt": b"hidden",
    "empty.txt": b"",
}
FOUND = [
    ("b.txt", "bee"),
    ("a/z.md", "zed"),
    ("rows.jsonl#1", "one"),
    ("rows.jsonl#2", "two"),
    ("more.txt.gz", "packed"),
]
NOTES = {
    "files left out: ending .png": 1,
    "files in hidden folders left out": 1,
    "hidden files left out": 1,
    "empty files": 1,
}


def tar(path: Path, members: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    """Write a tar, packed by its ending."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    packing = {".tgz": ".gz", ".tar": ""}.get(path.suffix, path.suffix)
    path.write_bytes(PACK[packing](file.getvalue()) if packing else file.getvalue())
    return path


def zipped(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.mkdir("a")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def error(path: Path, **settings) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.tar.gz", "x.tar.bz2", "x.tar.xz", "x.tar.zst", "x.zip"])
def test_members_are_documents_as_files_of_a_folder_are(tmp_path, name):
    path = (zipped if name == "x.zip" else tar)(tmp_path / name, MEMBERS)
    source = FilesConfig(path=str(path)).build()
    for _ in range(2):
        documents = list(source.documents())
        assert [(document.id, document.text) for document in documents] == [(f"{name}#{n}", t) for n, t in FOUND]
        assert {document.source for document in documents} == {name}
        assert source.notes == NOTES
    assert sorted(tmp_path.iterdir()) == [path]  # nothing was unpacked to the disk


def test_names_are_only_names_and_links_are_counted(tmp_path):
    wild = {"../../../up.txt": b"up", "/etc/abs.txt": b"abs", "line\nend\x1b[31m.txt": b"wild"}
    path = tar(tmp_path / "x.tar", wild, links=("link.txt",))
    source = FilesConfig(path=str(path)).build()
    ids = [document.id for document in source.documents()]
    assert ids == ["x.tar#../../../up.txt", "x.tar#/etc/abs.txt", "x.tar#line\\nend\\x1b[31m.txt"]
    assert source.notes == {"links and devices in archives left out": 1}
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../up.txt", "up")
    source = FilesConfig(path=str(tmp_path / "x.zip")).build()
    assert [document.id for document in source.documents()] == ["x.zip#../up.txt"]
    assert source.notes == {"links and devices in archives left out": 1}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_tar_that_is_cut_off_anywhere_is_one_line(tmp_path, name):
    members = {f"{n}.txt": (b"%d " % n) * 700 for n in range(4)}
    whole = tar(tmp_path / name, members).read_bytes()
    end = 512 * 18 + 1  # behind the last member, in the first block of zeros
    for cut in range(1, min(end, len(whole)), 512 if name == "x.tar" else len(whole) // 12):
        (tmp_path / name).write_bytes(whole[:cut])
        assert str(tmp_path / name) in error(tmp_path / name), cut


def test_a_damaged_header_does_not_end_a_tar_in_silence(tmp_path):
    path = tar(tmp_path / "x.tar", {f"{n}.txt": b"text" for n in range(3)})
    content = bytearray(path.read_bytes())
    content[512 * 3 + 5] ^= 1  # the name in the second member's header
    path.write_bytes(content)
    assert "damaged behind its member 0.txt" in error(path)


def test_what_follows_the_end_of_a_tar_is_said(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.txt": b"a"})
    path.write_bytes(path.read_bytes() * 2)
    source = FilesConfig(path=str(path)).build()
    assert [document.text for document in source.documents()] == ["a"]
    assert source.notes == {"tar archives with more behind their end mark, which is left out": 1}


def test_a_zip_that_is_damaged(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a.txt": b"a" * 99, "b.txt": b"b" * 99}, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert "damaged or cut off" in error(path)
    changed = bytearray(whole)
    changed[whole.index(b"a" * 99)] ^= 1
    path.write_bytes(changed)
    assert f"{path}#a.txt: damaged" in error(path)
    source = FilesConfig(path=str(path), bad_files=BadFiles.skip).build()
    assert [document.id for document in source.documents()] == ["x.zip#b.txt"]
    assert [note for note in source.notes if note.startswith(f"bad files skipped: {path}#a.txt")]
    encrypted = bytearray(whole)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(signature), whole):
            encrypted[found.start() + offset] |= 1
    path.write_bytes(encrypted)
    assert "it is encrypted" in error(path)


def test_a_bad_member_is_named_and_may_be_skipped(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.txt": PNG, "b.parquet": b"PAR1", "c.json": b'[{"text": "c"}]'})
    assert f"{path}#a.txt: not text, it looks like a PNG image" in error(path)
    source = FilesConfig(path=str(path), bad_files=BadFiles.skip).build()
    assert [document.id for document in source.documents()] == ["x.tar#c.json#1"]
    assert sum(note.startswith("bad files skipped") for note in source.notes) == 2


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.zst", "x.zip"])
def test_a_bomb_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr(compression, "UNTROUBLED_BYTES", 1 << 20)
    path = (zipped if name == "x.zip" else tar)(tmp_path / name, {f"{n}.txt": b" " * (1 << 19) for n in range(5)})
    assert "more than 200 times their size" in error(path)
    source = FilesConfig(path=str(path), bad_files=BadFiles.skip).build()
    assert len(list(source.documents())) < 5
    assert any("more than 200 times their size" in note for note in source.notes)


def test_empty_archives(tmp_path):
    assert "gave no text (1 archives without any file)" in error(tar(tmp_path / "x.tar", {}))
    assert "gave no text (1 archives without any file)" in error(zipped(tmp_path / "x.zip", {}))
    assert "gave no text (1 files left out: ending .png)" in error(zipped(tmp_path / "y.zip", {"a.png": PNG}))
    (tmp_path / "z.tar").write_bytes(b"no tar at all")
    assert "damaged tar archive, at its beginning" in error(tmp_path / "z.tar")


def test_an_archive_within_a_folder_is_left_out_as_before(tmp_path):
    zipped(tmp_path / "x.zip", {"a.txt": b"a"})
    (tmp_path / "b.txt").write_text("b")
    source = FilesConfig(path=str(tmp_path)).build()
    assert [document.id for document in source.documents()] == ["b.txt"]
    assert source.notes == {"files left out: ending .zip": 1}
    assert [document.id for document in read(f"{tmp_path}/*")] == ["b.txt", "x.zip#a.txt"]


def test_json_by_path_within_an_archive(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a.json": json.dumps({"items": [{"body": "x"}]}).encode()})
    assert [(d.id, d.text) for d in read(path, json_path="items.*.body")] == [("x.zip#a.json#1", "x")]

    plain = zipped(tmp_path / "y.zip", {"a.txt": b"no JSON"})
    with pytest.raises(ConfigError, match=r"json_path=items: no file of .*y\.zip is JSON by its ending"):
        read(plain, json_path="items")


def test_a_member_of_a_zip_without_a_name_is_counted(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a.txt": b"a", "Zzzz": b"nameless"})
    path.write_bytes(path.read_bytes().replace(b"Zzzz", b"\0zzz"))  # a NUL ends a name
    source = FilesConfig(path=str(path)).build()
    assert [document.id for document in source.documents()] == ["x.zip#a.txt"]
    assert source.notes == {"files left out: ending none": 1}
