"""A folder appears and disappears at once; a kill between any two of its renames loses nothing good."""

import os

import pytest

from prospero.checkpoints.folders import (
    folders_of,
    name_of_step,
    publish,
    remove_folder,
    remove_left_over,
    unfinished,
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program runs after it."""


def folder(path, text):
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


def there(place):
    """Return name -> content of what lies in `place`, the hidden names without their random end."""
    return {path.name.partition("-")[0]: (path / "file").read_text() for path in place.iterdir()}


def killed_at(monkeypatch, call):
    """Let the `call`-th rename from now on (counted from 1) kill the process before it is done."""
    replace, calls = os.replace, []

    def counted(*names):
        calls.append(names)
        if len(calls) == call:
            raise Killed
        replace(*names)

    monkeypatch.setattr(os, "replace", counted)


def test_names_and_order(tmp_path):
    assert name_of_step(400) == "step_00000400"
    for name in ("step_00000009", "step_00000010", "step_123456789", ".step_00000011.tmp-1", "step_x", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "step_00000012").write_text("a file")
    assert [path.name for path in folders_of(tmp_path)] == ["step_123456789", "step_00000010", "step_00000009"]
    assert list(folders_of(tmp_path / "nothing")) == []
    one, two = unfinished(tmp_path / "step_00000001"), unfinished(tmp_path / "step_00000001")
    assert one != two and one.parent == tmp_path and one.name.startswith(".step_00000001.tmp-")


def test_a_finished_folder_takes_its_place(tmp_path):
    final = tmp_path / "step_00000001"
    publish(folder(unfinished(final), "first"), final)
    assert there(tmp_path) == {"step_00000001": "first"}
    publish(folder(unfinished(final), "second"), final)
    assert there(tmp_path) == {"step_00000001": "second"}


@pytest.mark.parametrize(
    ("call", "left", "after"),
    [
        (1, {"step_00000001": "old", ".step_00000001.tmp": "new"}, "old"),
        (2, {".step_00000001.replaced": "old", ".step_00000001.tmp": "new"}, "old"),
    ],
)
def test_killed_between_the_renames_one_whole_folder_is_left(tmp_path, monkeypatch, call, left, after):
    final = folder(tmp_path / "step_00000001", "old")
    temporary = folder(unfinished(final), "new")
    killed_at(monkeypatch, call)
    with pytest.raises(Killed):
        publish(temporary, final)
    monkeypatch.undo()
    assert there(tmp_path) == left
    remove_left_over(tmp_path)
    assert there(tmp_path) == {"step_00000001": after}


def test_killed_after_the_renames_the_new_one_is_left(tmp_path, monkeypatch):
    final = folder(tmp_path / "step_00000001", "old")

    def killed(*_, **__):
        raise Killed

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(Killed):
        publish(folder(unfinished(final), "new"), final)
    monkeypatch.undo()
    assert there(tmp_path) == {"step_00000001": "new", ".step_00000001.replaced": "old"}
    remove_left_over(tmp_path)
    assert there(tmp_path) == {"step_00000001": "new"}


def test_a_removed_folder_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    final = folder(tmp_path / "step_00000001", "old")

    def killed(*_, **__):
        raise Killed

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(Killed):
        remove_folder(final)
    monkeypatch.undo()
    assert there(tmp_path) == {".step_00000001.removed": "old"}
    assert list(folders_of(tmp_path)) == []
    remove_folder(next(tmp_path.iterdir()))
    remove_folder(final)  # nothing is there: nothing to do
    assert there(tmp_path) == {}


def test_only_the_leavings_of_saves_are_removed(tmp_path):
    for name in ("step_00000001", ".step_00000002.removed-1", ".step_00000003.tmp-1", ".other", "notes"):
        folder(tmp_path / name, "x")
    remove_left_over(tmp_path)
    assert sorted(there(tmp_path)) == [".other", "notes", "step_00000001"]
