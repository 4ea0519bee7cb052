"""Saving from several processes: all parts or nothing, and what went wrong in one line."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from prospero.checkpoints import FolderWriter, read_folder, writing
from prospero.checkpoints.folders import unfinished
from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.writing import SPARE_BYTES, Save, make_room
from prospero.errors import DataError

Disk = namedtuple("Disk", "total used free")


def begun(folder: Path, tree, *, rank: int = 0, world_size: int = 1, temporary: Path | None = None):
    """A writer and its save, with the unfinished folder made by the first process."""
    writer = FolderWriter()
    save = writer.take(tree, folder / "step_00000001", rank=rank, world_size=world_size)
    save.temporary = temporary or unfinished(save.final)
    if temporary is None:
        make_room(save, save.n_bytes)
    return writer, save


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_one_process_writes_and_publishes(tmp_path):
    writer, save = begun(tmp_path, {"a": torch.arange(4), "b": [1, (2.5, None)]})
    published = []
    save.facts, save.after = {"step": 1}, lambda: published.append(save.final.is_dir())
    assert save.n_bytes == 32
    writer.write(save)
    assert published == [True] and hidden(tmp_path) == []
    assert verify_folder(save.final)["step"] == 1
    assert sorted(path.name for path in save.final.iterdir()) == [
        "manifest.json",
        "state.json",
        "tensors_00000_of_00001.safetensors",
    ]
    found = read_folder(save.final)
    assert torch.equal(found["a"], torch.arange(4)) and found["b"] == [1, (2.5, None)]


def test_memory_that_is_shared_is_written_once(tmp_path):
    weight = torch.arange(6.0)
    writer, save = begun(tmp_path, {"a": weight, "same": weight, "part": weight[:3], "empty": torch.zeros(0, 2)})
    assert [part.key for part in save.parts] == ["a", "part"]
    writer.write(save)
    found = read_folder(save.final)
    assert torch.equal(found["same"], weight) and torch.equal(found["part"], weight[:3])
    assert found["empty"].shape == (0, 2)


def test_a_copy_does_not_see_later_changes_and_keeps_its_buffers(tmp_path):
    weight = torch.zeros(3)
    writer, save = begun(tmp_path, {"w": weight})
    writer.copy(save)
    buffer = save.parts[0].tensor
    weight.fill_(7)
    writer.write(save)
    assert torch.equal(read_folder(save.final)["w"], torch.zeros(3))
    again = writer.take({"w": weight}, save.final, rank=0, world_size=1)
    writer.copy(again)
    assert again.parts[0].tensor.data_ptr() == buffer.data_ptr()
    other = writer.take({"w": torch.ones(4)}, save.final, rank=0, world_size=1)
    writer.copy(other)
    assert torch.equal(other.parts[0].tensor, torch.ones(4))


def test_the_first_process_waits_for_the_parts_of_all(tmp_path):
    first, mine = begun(tmp_path, {"a": torch.ones(2)}, world_size=2)
    second, theirs = begun(tmp_path, {"a": torch.ones(2)}, rank=1, world_size=2, temporary=mine.temporary)
    assert theirs.parts == []  # what all hold alike, the first writes
    second.write(theirs)
    assert not mine.final.exists()
    first.write(mine)
    assert list(verify_folder(mine.final)["files"]) == ["state.json", "tensors_00000_of_00002.safetensors"]
    assert not list(mine.final.glob("rank_*"))


def test_a_part_that_never_comes_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "WAIT_SECONDS", 0.05)
    writer, save = begun(tmp_path, {"a": torch.ones(2)}, world_size=2)
    with pytest.raises(DataError, match="part of process 1 did not appear in 0 s; all processes must see one folder"):
        writer.write(save)
    assert list(tmp_path.iterdir()) == []


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    writer, save = begun(tmp_path, {"a": torch.ones(2)})
    monkeypatch.setattr(writing, "write_tensors", full)
    with pytest.raises(DataError, match=r"^could not write the checkpoint .*step_00000001: No space left on device$"):
        writer.write(save)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_of_another_process_stops_the_first(tmp_path, monkeypatch):
    first, mine = begun(tmp_path, {"a": torch.ones(2)}, world_size=2)
    second, theirs = begun(tmp_path, {"a": torch.ones(2)}, rank=1, world_size=2, temporary=mine.temporary)
    theirs.parts = list(mine.parts)
    write = writing.write_tensors

    def torn(path, parts):
        path.write_bytes(b"the beginning")
        full()

    monkeypatch.setattr(writing, "write_tensors", torn)
    with pytest.raises(DataError, match="No space left on device"):
        second.write(theirs)
    assert not list(mine.temporary.glob("*.safetensors")), "room for what the error needs"
    monkeypatch.setattr(writing, "write_tensors", write)
    with pytest.raises(DataError, match="step_00000001: process 1: No space left on device"):
        first.write(mine)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["write_text", "write_manifest", "publish"])
def test_a_disk_that_fills_up_late_leaves_nothing_either(tmp_path, monkeypatch, place):
    old, save = begun(tmp_path, {"a": torch.zeros(1)})
    old.write(save)
    writer, save = begun(tmp_path, {"a": torch.ones(1)})
    monkeypatch.setattr(writing, place, full)
    with pytest.raises(DataError, match="No space left on device"):
        writer.write(save)
    assert hidden(tmp_path) == []
    assert torch.equal(read_folder(save.final)["a"], torch.zeros(1)), "the one before is untouched"


def test_room_is_looked_for_before_anything_is_written(tmp_path, monkeypatch):
    save = Save(tmp_path / "run" / "step_00000001", 0, 1, {}, [], temporary=tmp_path / "run" / ".step_00000001.tmp-1")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(0, 0, 5_000_000 + SPARE_BYTES - 1))
    message = (
        r"^no room for the checkpoint .*step_00000001: it needs 5.0 MB and leaves 16.8 MB for logs and small files, "
        "the disk has 21.8 MB left; free some space or lower keep_last and keep_best$"
    )
    with pytest.raises(DataError, match=message):
        make_room(save, 5_000_000)
    assert not save.temporary.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(0, 0, 5_000_000 + SPARE_BYTES))
    make_room(save, 5_000_000)
    assert save.temporary.is_dir()


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    save = Save(tmp_path / "run" / "step_00000001", 0, 1, {}, [], temporary=tmp_path / "run" / ".step_00000001.tmp-1")
    with pytest.raises(DataError, match=r"could not write the checkpoint .*: (File exists|Not a directory)"):
        make_room(save, 1)


def test_a_thread_tells_its_error_once(tmp_path, monkeypatch):
    writer, save = begun(tmp_path, {"a": torch.ones(2)})
    monkeypatch.setattr(os, "fsync", full)
    writer.write_in_thread(save)
    error = writer.wait()
    assert "step_00000001: No space left on device" in str(error)
    assert writer.wait() is None
    assert list(tmp_path.iterdir()) == []


def test_values_that_cannot_be_saved_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="the value 'a/f' of type function cannot be saved"):
        FolderWriter().take({"a": {"f": begun}}, tmp_path / "step_00000001", rank=0, world_size=1)
    assert list(tmp_path.iterdir()) == []
