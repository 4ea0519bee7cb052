"""One process at a time, none that is dead, and a word to whoever waits."""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from prospero.processes import locks

HOLD = """
import sys, time
from pathlib import Path
from prospero.processes.locks import locked
with locked(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_handle_at_a_time_holds_a_file(tmp_path):
    first = locks.try_lock(tmp_path / "lock")
    assert first is not None and locks.try_lock(tmp_path / "lock") is None
    other = locks.try_lock(tmp_path / "other")
    os.close(first)
    again = locks.try_lock(tmp_path / "lock")
    assert again is not None and other is not None
    os.close(again)
    os.close(other)


def test_what_stands_in_the_file_stays(tmp_path):
    (tmp_path / "lock").write_text("mine")
    with locks.locked(tmp_path / "lock", lambda: None):
        pass
    assert (tmp_path / "lock").read_text() == "mine"


@pytest.mark.processes
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path):
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    assert locks.try_lock(path) is None
    process.kill()
    process.wait()
    handle = locks.try_lock(path)
    assert handle is not None
    os.close(handle)


@pytest.mark.heavy
@pytest.mark.parametrize(("patience", "said"), [(0.1, ["waits"]), (100.0, [])])
def test_who_waits_says_it_once_and_after_a_while(tmp_path, monkeypatch, patience, said):
    monkeypatch.setattr(locks, "SECONDS_BEFORE_A_WORD", patience)
    path, order = tmp_path / "lock", []
    handle = locks.try_lock(path)
    assert handle is not None

    def wait():
        with locks.locked(path, lambda: order.append("waits")):
            order.append("holds")

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.6)
    assert order == said
    os.close(handle)
    thread.join()
    assert order == [*said, "holds"]


def test_the_lock_ends_with_an_error_in_the_block(tmp_path):
    with pytest.raises(KeyError), locks.locked(tmp_path / "lock", lambda: None):
        raise KeyError
    handle = locks.try_lock(tmp_path / "lock")
    assert handle is not None
    os.close(handle)


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def refuse(number):
        def lock_descriptor(handle, *, blocking):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(locks, "lock_descriptor", lock_descriptor)

    for number in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        refuse(number)
        handle = locks.try_lock(tmp_path / "lock")
        assert handle is not None
        os.close(handle)
    refuse(errno.EIO)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(OSError, match="Input/output error"):
        locks.try_lock(tmp_path / "lock")
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)
