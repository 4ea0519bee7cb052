"""The thread that writes: one for each model. It owns the running batch; requests come and go between its steps.

A job is what one request wants written. The event loop of the server puts it in and takes pieces out; nothing else is
shared between the two threads.
"""

import asyncio
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from prospero.generation.engine import Engine, Event
from prospero.log import log
from prospero.serving.problems import Problem, internal, overloaded
from prospero.serving.served_model import Row, ServedModel


class Job:
    """The rows of one request on their way; all methods but the constructor's caller live in the event loop."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.loop = asyncio.get_running_loop()
        self.problem: Problem | None = None
        """Why nothing more comes."""
        self._arrived: deque[tuple[int, Event]] = deque()
        self._wake = asyncio.Event()

    def deliver(self, events: list[tuple[int, Event]]) -> None:
        """Put in what has been written: (place of the row, event)."""
        self._arrived += events
        self._wake.set()

    def fail(self, problem: Problem) -> None:
        """End the job."""
        self.problem = self.problem or problem
        self._wake.set()

    async def next(self) -> list[tuple[int, Event]]:
        """Wait for pieces and return all that are there; raises the Problem by which the job has failed."""
        await self._wake.wait()
        self._wake.clear()
        if self.problem is not None:
            raise self.problem
        events = list(self._arrived)
        self._arrived.clear()
        return events


@dataclass(frozen=True, slots=True)
class _Order:
    what: str
    """add, drop (nobody reads it any more), end (tell what is there), or stop (the thread)."""
    job: Job | None = None
    """Whose rows; None: those of all."""
    why: str = ""
    """Of an end: time or shutdown."""


@dataclass(slots=True)
class _Load:
    """What the thread tells of itself; written by it alone."""

    running: int = 0
    waiting: int = 0
    steps: int = 0
    seconds: float = 0.0
    failed: int = 0
    handles: dict[int, tuple[Job, int]] = field(default_factory=dict)
    """Handle of the engine -> the job and the place of the row in it."""


class Worker:
    """A model's thread."""

    def __init__(self, model: ServedModel, *, max_rows: int, max_waiting: int) -> None:
        self.model, self.max_rows, self.max_waiting = model, max_rows, max_waiting
        self.load = _Load()
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._ordered = 0  # rows that the thread has not seen yet, counted by the event loop
        self._ended = False  # nothing that is ordered is done any more
        self._lock = threading.Lock()
        self._engine = Engine(model.decoder, model.tokenizer, max_rows=max_rows)
        self._thread = threading.Thread(target=self._run, name=f"model {model.name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its step; jobs that are not done are told."""
        self._orders.put(_Order("stop"))
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        """Rows in the batch."""
        return self.load.running

    @property
    def waiting(self) -> int:
        """Rows that wait for a place in it."""
        return self.load.waiting + self._ordered

    def submit(self, job: Job) -> None:
        """Let a job's rows wait for their places; Problem 503 when too many wait already."""
        room = self.max_waiting + max(0, self.max_rows - self.running)
        if self.waiting + len(job.rows) > room:
            raise overloaded(f"{self.waiting} texts wait already for {self.model.name}; try again later")
        with self._lock:
            if self._ended or not self.alive:
                raise internal()
            self._ordered += len(job.rows)
            self._orders.put(_Order("add", job))

    def drop(self, job: Job) -> None:
        """Take a job's rows out: nobody waits for them any more."""
        self._orders.put(_Order("drop", job))

    def end(self, job: Job) -> None:
        """Have a job's rows end where they are, since its time is up; their completions are delivered."""
        self._orders.put(_Order("end", job, "time"))

    def end_all(self) -> None:
        """Have the rows of all jobs end where they are, since the server ends."""
        self._orders.put(_Order("end", None, "shutdown"))

    def _run(self) -> None:
        problem = internal()
        try:
            with self.model.decoder.session():
                self._work()
            problem = overloaded("the server stops")
        except Exception as error:  # /health says so; whoever waits is told, and whoever comes
            log.error("%s: its thread has ended: %s", self.model.name, where(error))
        finally:
            with self._lock:
                self._ended = True
            self._fail_all(problem)

    def _work(self) -> None:
        """Work until the order to stop."""
        while True:
            orders = self._taken()
            for order in orders:
                self._obey(order)
            if any(order.what == "stop" for order in orders):
                return
            if not self._engine.idle:
                self._step()
            self._count()

    def _count(self) -> None:
        self.load.running, self.load.waiting = self._engine.running, self._engine.waiting

    def _taken(self) -> list[_Order]:
        """Return the orders that are there; wait for one where there is nothing else to do."""
        found = [self._orders.get()] if self._engine.idle else []
        try:
            while True:
                found.append(self._orders.get_nowait())
        except queue.Empty:
            return found

    def _obey(self, order: _Order) -> None:
        if order.what == "add" and order.job is not None:
            self._add(order.job)
        elif order.what != "stop":
            try:
                self._remove(order.job, order.why)
            except Exception as error:
                self._begin_anew("a text could not be taken out of the batch", error)

    def _add(self, job: Job) -> None:
        engine, handles = self._engine, self.load.handles
        try:
            for place, r in enumerate(job.rows):
                handle = engine.add(r.ids, r.sampling, row=r.row, sample=r.sample, top=r.top, ends=r.ends)
                handles[handle] = (job, place)
        except Exception as error:
            log.error("%s: a text could not be begun: %s", self.model.name, where(error))
            self._remove(job)
            _call(job.loop, lambda: job.fail(internal()))
        with self._lock:
            self._ordered -= len(job.rows)
        self.load.waiting = engine.waiting

    def _remove(self, job: Job | None, why: str = "") -> None:
        """Take out the rows of a job, or of all; with `why` it is told what they have written, and why they ended."""
        for handle, (owner, place) in list(self.load.handles.items()):
            if job is None or owner is job:
                completion = self._engine.remove(handle)
                del self.load.handles[handle]
                if why and completion is not None:
                    self._tell({owner: [(place, Event(handle, "", replace(completion, ended_by=why)))]})

    def _step(self) -> None:
        begun = time.perf_counter()
        try:
            events = self._engine.step()
        except Exception as error:
            self._begin_anew("a step of the batch failed", error)
            return
        found: dict[Job, list[tuple[int, Event]]] = {}
        for event in events:
            job, place = self.load.handles[event.row]
            found.setdefault(job, []).append((place, event))
            if event.completion is not None:
                del self.load.handles[event.row]
        self.load.steps += 1
        self.load.seconds += time.perf_counter() - begun
        self._count()
        self._tell(found)

    def _begin_anew(self, what: str, error: Exception) -> None:
        """Fail all jobs of the batch, which is lost, and not the server: what failed may have been one text's size."""
        log.error("%s: %s: %s", self.model.name, what, where(error))
        self.load.failed += 1
        self._fail_all(internal())
        self._engine = Engine(self.model.decoder, self.model.tokenizer, max_rows=self.max_rows)

    def _tell(self, found: dict[Job, list[tuple[int, Event]]]) -> None:
        """Hand events to the event loop, all in one call."""
        if not found:
            return

        def deliver() -> None:
            for job, events in found.items():
                job.deliver(events)

        _call(next(iter(found)).loop, deliver)

    def _fail_all(self, problem: Problem) -> None:
        jobs = {job for job, _ in self.load.handles.values()}
        while self._ended and not self._orders.empty():
            job = self._orders.get().job
            jobs |= {job} if job is not None else set()
        self.load.handles.clear()
        for job in jobs:
            _call(job.loop, lambda job=job: job.fail(problem))


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)


def where(error: BaseException) -> str:
    """Return the kind of an error and the lines it went through; not its message, which may quote a prompt."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
