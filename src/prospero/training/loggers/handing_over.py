"""What may have to wait for a server is handed over by a thread of its own, so that no step waits with it."""

import queue
import threading
import time
from collections.abc import Callable

from prospero.log import log
from prospero.training.loggers.base import first_line


class HandingOver:
    """Does one thing after the other, in order; what is refused is said once for each name.

    `title` is whom things are handed to, as the warning calls it.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._queue: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()
        self._waiting: list[str] = []
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, name: str, hand_over: Callable[[], None]) -> None:
        """Have `hand_over` called soon; returns at once."""
        with self._lock:
            self._waiting.append(name)
        self._queue.put((name, hand_over))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"prospero-{self.title}", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> list[str]:
        """Wait until all is handed over, `seconds` at most; return the names of what is not."""
        until = time.monotonic() + seconds
        while self._left() and time.monotonic() < until:
            time.sleep(0.02)
        return self._left()

    def _left(self) -> list[str]:
        with self._lock:
            return list(dict.fromkeys(self._waiting))

    def _work(self) -> None:
        while True:
            name, hand_over = self._queue.get()
            try:
                hand_over()
            except Exception as error:  # whatever it raises, the run goes on
                self._say(name, error)
            with self._lock:
                self._waiting.remove(name)

    def _say(self, name: str, error: Exception) -> None:
        if name not in self._said:
            self._said.add(name)
            log.warning("%s did not take %s (%s); the run folder has it", self.title, name, first_line(error))
