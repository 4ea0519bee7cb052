"""Signals that ask a program to end: SIGTERM, SIGINT and SIGUSR1, from its first line to its last.

Before training a signal ends the program at once, as an `Interrupted` exception in the main thread. Once `defer` is
called it is only remembered in `received`, for the end of the optimiser step. A second SIGINT, and a main thread that
does not react, end the process from a thread of their own: Python runs signal handlers between two bytecodes of the
main thread, which may wait inside a library (a collective, a tokenizer) for ever.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prospero.errors import Interrupted
from prospero.processes import ranks

SIGNALS = (signal.SIGTERM, signal.SIGINT, *((signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()))
GRACE_SECONDS = 5.0
"""How long the main thread may take to notice a signal that should end the program at once."""
STARTED_BY = "PROSPERO_STARTED_BY"
"""Environment variable: the pid of a command that started this one for itself. When it is gone, this one saves and
leaves."""
_POLL_SECONDS = 1.0


class SignalWatch:
    """What has been received, and what happens then; there is one, `watch`."""

    def __init__(self) -> None:
        self.active = False
        """Whether the signals are caught now."""
        self.received = 0
        """The number of the first signal; 0 when there was none."""
        self.deferred = False
        """Whether training runs, which saves before it leaves."""
        self.children: list[subprocess.Popen[bytes]] = []
        """Processes that this one has started as ranks of its run: they end with it."""
        self.timers: list[threading.Timer] = []
        """They end the process when the main thread does not notice a signal; cancelled when nothing is watched."""
        self._interrupts = 0
        self._raised = False

    def defer(self) -> None:
        """From now on remember signals instead of ending the program: training saves first."""
        self.deferred = True

    def handle(self, number: int, frame: Any = None) -> None:
        """The handler, in the main thread."""
        self.received = self.received or number
        if not self.deferred and not self._raised:
            self._raised = True
            raise Interrupted(number)

    def arrived(self, number: int) -> None:
        """The other half, in the watching thread, which runs even while the main thread waits inside a library."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            self._exit(number, "stopped at once by a second SIGINT")
        if not self.deferred:
            for child in self.children:
                child.terminate()
            timer = threading.Timer(GRACE_SECONDS, self._exit_unless_noticed, (number,))
            timer.daemon = True
            timer.start()
            self.timers.append(timer)

    def _exit_unless_noticed(self, number: int) -> None:
        if not self.received:
            self._exit(number, f"interrupted by {signal.Signals(number).name}")

    def _exit(self, number: int, line: str) -> None:
        if ranks.is_rank_zero():
            os.write(2, f"{line}\n".encode())
        for child in self.children:
            child.kill()
        os._exit(128 + number)


watch = SignalWatch()


def _leave_to_parent() -> None:
    """In a forked process (a loader's worker): say nothing of its signals to the watch of the process it came from."""
    if watch.active:
        signal.set_wakeup_fd(-1)
        for number in SIGNALS[1:]:  # a worker that survives SIGTERM could not be ended
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def watched() -> Iterator[SignalWatch]:
    """Catch the signals inside the block, and end this process when the one that started it for itself is gone.

    That is the launcher of a rank, or the command that STARTED_BY names.

    Outside of the main thread the owner of the process handles signals, and nothing is caught.
    """
    watch.__init__()
    watch.active = True
    if threading.current_thread() is not threading.main_thread():
        yield watch
        watch.active = False
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous_descriptor = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    previous = [(number, signal.signal(number, watch.handle)) for number in SIGNALS]
    stop = threading.Event()
    thread = threading.Thread(target=_listen, args=(reader, stop), daemon=True, name="signals")
    thread.start()
    try:
        yield watch
    finally:
        watch.active = False
        for number, handler in previous:
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_descriptor)
        stop.set()
        os.write(writer, b"\0")
        thread.join()
        for timer in watch.timers:
            timer.cancel()
        os.close(reader)
        os.close(writer)


def _listen(reader: int, stop: threading.Event) -> None:
    launched = ranks.is_launched_child()
    parent = os.getppid() if launched else int(os.environ.get(STARTED_BY) or 0)
    while not stop.is_set():
        readable, _, _ = select.select([reader], [], [], _POLL_SECONDS if parent else None)
        if readable:
            for number in os.read(reader, 64):
                if number in SIGNALS:
                    watch.arrived(number)
        if parent and os.getppid() != parent:
            if not launched:
                parent = 0
                os.kill(os.getpid(), signal.SIGTERM)
                continue
            time.sleep(_POLL_SECONDS)  # a whole run that leaves together needs no help
            sys.stdout.flush()
            os._exit(128 + signal.SIGTERM)
