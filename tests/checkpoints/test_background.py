"""A save in a thread: the tensors may change as soon as they are copied, and not before."""

import threading

import torch

from prospero.checkpoints import FolderWriter, read_folder
from prospero.checkpoints.folders import name_of_step, unfinished
from prospero.checkpoints.writing import make_room


def test_tensors_may_change_once_they_are_copied(tmp_path, monkeypatch):
    writer, weight = FolderWriter(), torch.arange(1000.0)
    copy, may_copy = writer.copy, threading.Event()
    monkeypatch.setattr(writer, "copy", lambda save: (may_copy.wait(60), copy(save)))
    for step in (1, 2):  # the second uses the buffers of the first
        before = weight.clone()
        save = writer.take({"weight": weight}, tmp_path / name_of_step(step), rank=0, world_size=1)
        save.temporary = unfinished(save.final)
        make_room(save, save.n_bytes)
        may_copy.clear()
        writer.write_in_thread(save)
        threading.Timer(0.05, may_copy.set).start()
        writer.wait_until_copied()
        assert may_copy.is_set(), "it has waited for the copy"
        weight.add_(1.0)
        assert writer.taken_wait() > 0 and writer.taken_wait() == 0
        assert writer.wait() is None
        assert torch.equal(read_folder(save.final)["weight"], before)


def test_a_copy_that_fails_does_not_keep_training_waiting(tmp_path, monkeypatch):
    writer = FolderWriter()
    monkeypatch.setattr(writer, "copy", lambda save: 1 / 0)
    save = writer.take({"weight": torch.zeros(3)}, tmp_path / name_of_step(1), rank=0, world_size=1)
    writer.write_in_thread(save)
    writer.wait_until_copied()
    error = writer.wait()
    assert error is not None and "ZeroDivisionError" in str(error)
