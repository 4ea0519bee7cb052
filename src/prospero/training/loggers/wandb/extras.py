"""Tables, pictures and artifacts: W&B asks its server before it takes one, so a thread of their own hands them over.

Rows of numbers go to W&B's process on this machine, which takes them at once, network or not. A table does not: the
client puts a question to the server first and waits for the answer, for minutes where the network is bad.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from prospero.log import log


class Extras:
    """Hands over one thing after the other, in order; what W&B refuses is said once for each name."""

    def __init__(self, current: Callable[[], Any]) -> None:
        self._current = current
        self._queue: queue.Queue[tuple[str, Callable[[Any], None]]] = queue.Queue()
        self._waiting: list[str] = []
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, name: str, hand_over: Callable[[Any], None]) -> None:
        """Have `hand_over` called with the W&B run of that moment, soon; returns at once."""
        with self._lock:
            self._waiting.append(name)
        self._queue.put((name, hand_over))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="prospero-wandb-extras", daemon=True)
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
                hand_over(self._current())
            except Exception as error:  # whatever W&B raises, the run goes on
                self._say(name, error)
            with self._lock:
                self._waiting.remove(name)

    def _say(self, name: str, error: Exception) -> None:
        if name not in self._said:
            self._said.add(name)
            text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            log.warning("W&B did not take %s (%s); the run folder has it", name, text)


class GrowingTable:
    """One table of a run to which rows are added: each time only the new ones are sent.

    W&B joins them to those of an earlier start of the same run. When the W&B run is another object (its process was
    started anew) all rows are sent again: a row twice is better than a row lost.
    """

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self.name, self.columns = name, list(columns)
        self._rows: list[list[Any]] = []
        self._run: Any = None
        self._table: Any = None
        self._in_table = 0

    def hand_over(self, run: Any, step: int, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows, and log what W&B has not taken yet."""
        import wandb

        self._rows += [[row[column] for column in self.columns] for row in rows]
        if run is not self._run:
            self._run, self._in_table = run, 0
            self._table = wandb.Table(columns=self.columns, log_mode="INCREMENTAL")
        for row in self._rows[self._in_table :]:
            self._table.add_data(*row)
        self._in_table = len(self._rows)
        sent, self._run = self._run, None  # until W&B has taken it; else the next time begins with a table anew
        run.log({"step": step, self.name: self._table})
        self._run = sent
