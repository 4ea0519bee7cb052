"""The manifest finds every difference, its own included, and names it in one line."""

import json
import os

import pytest

from prospero.checkpoints import manifest as room
from prospero.checkpoints.manifest import (
    MANIFEST,
    compare_files,
    describe_file,
    read_manifest,
    render,
    sign_folder,
    verify_folder,
    write_manifest,
)
from prospero.errors import DataError
from tests.checkpoints.stored import flip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b").write_bytes(b"Prospero")
    (tmp_path / "a").write_bytes(b"")
    sign_folder(tmp_path, ["b", "a"], step=3, metrics={"val/loss": 1.5})
    return tmp_path


def refused(folder, message):
    with pytest.raises(DataError, match=message) as caught:
        verify_folder(folder)
    assert "\n" not in str(caught.value)


def test_it_says_what_was_signed(folder):
    found = verify_folder(folder)
    assert found == read_manifest(folder)
    assert found["step"] == 3 and found["metrics"] == {"val/loss": 1.5} and found["format_version"] == 2
    assert list(found["files"]) == ["a", "b"]
    assert found["files"]["b"] == describe_file(folder / "b")
    assert found["files"]["b"] == {
        "bytes": 8,
        "sha256": "4afc168b06ca49e0d1a204eb3882e54f2c7cbace0ec4d7c390d50fce8442ce9b",
    }
    assert (folder / MANIFEST).read_text() == render({"step": 3, "metrics": {"val/loss": 1.5}}, found["files"])


@pytest.mark.heavy
def test_each_flipped_bit_is_found(folder):
    for name in ("b", MANIFEST):
        for bit in range(8 * (folder / name).stat().st_size):
            flip(folder / name, bit)
            with pytest.raises(DataError):
                verify_folder(folder)
            flip(folder / name, bit)
    verify_folder(folder)


def test_each_kind_of_damage_is_named(folder):
    (folder / "b").write_bytes(b"prospero")
    refused(folder, r"b is damaged: its SHA-256 is not the one in manifest\.json")
    (folder / "b").write_bytes(b"Prosper")
    refused(folder, "b is damaged: it has 7 bytes instead of 8")
    (folder / "b").unlink()
    refused(folder, "b is missing")
    (folder / MANIFEST).unlink()
    refused(folder, r"there is no .*manifest\.json, so .* cannot be trusted: it was never finished")
    (folder / MANIFEST).mkdir()
    refused(folder, r"manifest\.json cannot be read \(Is a directory\)")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "\ufeff{}", '{"sha256": "0"}', "\x00"])
def test_what_is_no_manifest_is_damage(folder, text):
    (folder / MANIFEST).write_text(text)
    refused(folder, r"manifest\.json is damaged: its hash does not fit what it says")
    (folder / MANIFEST).write_bytes(b"\xff\xfe")
    refused(folder, r"manifest\.json is damaged")


def test_another_format_is_named(folder, monkeypatch):
    monkeypatch.setattr(room, "FORMAT_VERSION", 3)
    write_manifest(folder, {}, {})
    monkeypatch.undo()
    refused(folder, "is of format version 3; this Prospero reads 2")


def test_a_file_that_the_disk_does_not_give_is_damage(folder, monkeypatch):
    def broken(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(room, "describe_file", broken)
    refused(folder, r"a is damaged: it cannot be read \(Input/output error\)")


def test_each_part_looks_at_its_own_files(folder):
    (folder / "b").write_bytes(b"prospero")
    verify_folder(folder, part=0, parts=2)
    with pytest.raises(DataError, match="b is damaged"):
        verify_folder(folder, part=1, parts=2)
    compare_files(folder, {})


def test_threads_find_the_same(folder, monkeypatch):
    monkeypatch.setattr(room, "_WORTH_THREADS_BYTES", 0)
    verify_folder(folder)
    (folder / "b").write_bytes(b"prospero")
    refused(folder, "b is damaged: its SHA-256")


def test_it_is_written_whole_or_not_at_all(folder, monkeypatch):
    before = (folder / MANIFEST).read_bytes()

    def killed(old, new):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_manifest(folder, {"step": 4}, {})
    assert (folder / MANIFEST).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", MANIFEST]
    assert json.loads(before)["step"] == 3
