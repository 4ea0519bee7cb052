"""A file beside the run: what the disk refuses waits, nothing is written twice, and the run never hears of it."""

import errno
import logging

from prospero.training import side_file
from prospero.training.side_file import SideFile


class FullAfter:
    """Opens files that take `room` more bytes, over all of them."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, path, mode, **options):
        file, disk = open(path, mode, **options), self  # noqa: SIM115

        class File:
            def write(self, data):
                taken = min(len(data), disk.room)
                disk.room -= taken
                if not taken:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return file.write(data[:taken])

            def seek(self, *place):
                return file.seek(*place)

            def truncate(self, size):
                return file.truncate(size)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

        return File()


def test_texts_wait_for_room_and_come_once_and_in_their_order(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    caplog.set_level(logging.INFO, logger="prospero")
    file = SideFile(tmp_path / "samples.md")
    file.append("first ä\n")
    monkeypatch.setattr(side_file, "open", FullAfter(3), raising=False)
    file.append("second\n")
    file.append("third\n")
    assert file.path.read_text() == "first ä\n"
    monkeypatch.undo()
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    file.append("fourth\n")
    file.append("fifth\n")
    assert file.path.read_text() == "first ä\nsecond\nthird\nfourth\nfifth\n"
    assert caplog.messages == [
        "samples.md cannot be written (No space left on device); it is tried again",
        "samples.md is written again",
    ]


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "run").write_text("a file, no folder")
    SideFile(tmp_path / "run" / "samples.md").append("text")
    assert (tmp_path / "run").read_text() == "a file, no folder"
