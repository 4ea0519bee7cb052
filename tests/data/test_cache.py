"""Folders that appear whole or not at all, and errors of the system as one line."""

import errno
import multiprocessing
import time
from pathlib import Path

import pytest

from prospero.data.cache import PREFIX, locked, publish, readable_errors
from prospero.errors import DataError


def fill(folder):
    (folder / "file").write_text("new")


def test_a_folder_appears_whole(tmp_path):
    with locked(tmp_path, "a"):
        assert publish(tmp_path, "a", fill) == tmp_path / "a"
    assert (tmp_path / "a" / "file").read_text() == "new"


def test_a_failure_leaves_the_old_folder(tmp_path):
    def fail(folder):
        (folder / "file").write_text("half")
        raise RuntimeError

    with locked(tmp_path, "a"):
        publish(tmp_path, "a", fill)
        with pytest.raises(RuntimeError):
            publish(tmp_path, "a", fail)
    assert (tmp_path / "a" / "file").read_text() == "new"
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_a_damaged_folder_is_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "damaged").write_text("old")
    with locked(tmp_path, "a"):
        publish(tmp_path, "a", fill)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def hold(folder, name, seconds, ready):
    with locked(Path(folder), name):
        ready.set()
        time.sleep(seconds)


def test_left_overs_go_and_work_under_way_stays(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=hold, args=(str(tmp_path), "busy", 30, ready))
    other.start()
    try:
        assert ready.wait(30)
        for name in ("dead", "mine", "busy"):
            (tmp_path / f"{PREFIX}{name}-x1").mkdir()
        with locked(tmp_path, "mine"):
            assert [path.name for path in tmp_path.glob(f"{PREFIX}*")] == [f"{PREFIX}busy-x1"]
    finally:
        other.kill()
        other.join()
    with locked(tmp_path, "busy"):  # the lock of a killed process is free
        assert not list(tmp_path.glob(f"{PREFIX}*"))


@pytest.mark.heavy
def test_a_second_process_waits(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=hold, args=(str(tmp_path), "a", 0.7, ready))
    other.start()
    assert ready.wait(30)
    started = time.perf_counter()
    with locked(tmp_path, "a"):
        waited = time.perf_counter() - started
    other.join()
    assert 0.2 < waited < 10


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk that holds .* is full"),
        (OSError(errno.EROFS, "Read-only file system", "cache/x"), "nothing can be written to cache"),
        (OSError(errno.EACCES, "Permission denied", "text/x"), "^text/x: Permission denied$"),
        (OSError("no route\nto host"), "^no route$"),
    ],
)
def test_errors_are_one_line(error, said):
    with pytest.raises(DataError, match=said), readable_errors(Path("cache")):
        raise error
