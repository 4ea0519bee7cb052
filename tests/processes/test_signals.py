"""What a signal does before training, once training runs, and when the main thread does not listen."""

import os
import signal
import subprocess
import sys
import time

import pytest

from prospero.errors import Interrupted
from prospero.processes import signals


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_before_training_a_signal_ends_the_program_there(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"interrupted by {number.name}") as interrupted, signals.watched():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert interrupted.value.exit_code == 128 + number
    assert signal.getsignal(number) == before and not signals.watch.active


@pytest.mark.heavy
def test_a_signal_of_one_program_does_not_end_the_next_in_the_same_process(monkeypatch):
    left = []
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(signals.SignalWatch, "_exit", lambda self, number, line: left.append(line))
    with pytest.raises(Interrupted), signals.watched():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    with signals.watched():
        time.sleep(0.6)
    assert left == []


def test_once_training_runs_the_first_signal_is_remembered():
    with signals.watched() as watch:
        watch.defer()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.05)
        assert watch.received == signal.SIGTERM


def test_a_signal_to_a_forked_process_is_not_one_to_this_process(monkeypatch):
    monkeypatch.setattr(signals.SignalWatch, "_exit", lambda self, number, line: None)
    with signals.watched() as watch:
        watch.defer()
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        assert (watch.received, watch._interrupts) == (signal.SIGINT, 1)


BUSY = """
import ctypes, sys
from prospero.processes import signals
signals.GRACE_SECONDS = 0.3
with signals.watched() as watch:
    if sys.argv[1] == "deferred":
        watch.defer()
    lock = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock)
    print("ready", flush=True)
    libc.pthread_mutex_lock(lock)  # waits for ever, and signals do not end the wait
"""


@pytest.mark.processes
@pytest.mark.parametrize(("phase", "sent", "code"), [("before", [15], 143), ("deferred", [2, 2], 130)])
def test_a_process_that_waits_inside_a_library_is_ended(phase, sent, code):
    command = [sys.executable, "-c", BUSY, phase]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for number in sent:
        time.sleep(0.5)
        process.send_signal(number)
    assert process.wait(120) == code
