"""The thread of a model, without HTTP."""

import asyncio

import pytest

from prospero.generation.sampling import SamplingConfig
from prospero.serving.problems import Problem
from prospero.serving.served_model import Row
from prospero.serving.worker import Job, Worker, where
from tests.serving.live import Scripted, served

GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=100)


def rows(count: int) -> list[Row]:
    return [Row([65], GREEDY, 0, sample, None, []) for sample in range(count)]


async def text_of(job: Job) -> str:
    """Return the texts of a job, joined, when all have ended."""
    texts: dict[int, str] = {}
    while len(texts) < len(job.rows):
        for place, event in await job.next():
            if event.completion is not None:
                texts[place] = f"{event.completion.text}:{event.completion.ended_by}"
    return " ".join(text for _, text in sorted(texts.items()))


def working(scripted: Scripted, *, max_rows: int = 2, max_waiting: int = 4) -> Worker:
    return Worker(served(scripted), max_rows=max_rows, max_waiting=max_waiting)


def test_jobs_join_leave_and_are_told_why_they_ended():
    scripted = Scripted("abcdef" * 10)

    async def run() -> None:
        worker = working(scripted)
        worker.start()
        one, two, three = Job(rows(1)), Job(rows(2)), Job(rows(1))
        scripted.gate.clear()
        for job in (one, two, three):
            worker.submit(job)
        assert await one.next()  # one and the first of two are in the batch, at the gate
        worker.drop(one)
        worker.end(two)
        scripted.gate.set()
        ended = await text_of(two)
        assert ended.endswith(" :time") and ended.split(":")[0] in ("a", "ab")
        assert await text_of(three) == "abcdef" * 10 + ":separator"
        assert (worker.running, worker.waiting) == (0, 0)
        worker.end_all()
        worker.stop()
        assert not worker.alive and scripted.rows == 0

    asyncio.run(run())


def test_what_has_no_room_to_wait_is_refused_and_leaves_no_trace():
    scripted = Scripted("abc")

    async def run() -> None:
        worker = working(scripted, max_rows=1, max_waiting=2)
        with pytest.raises(Problem) as error:  # a thread that does not run takes nothing
            worker.submit(Job(rows(1)))
        assert error.value.status == 500
        worker.start()
        scripted.gate.clear()
        job = Job(rows(3))
        worker.submit(job)
        await job.next()
        with pytest.raises(Problem) as error:
            worker.submit(Job(rows(1)))
        assert error.value.status == 503 and error.value.headers == {"Retry-After": "1"}
        scripted.gate.set()
        assert await text_of(job) == "abc:separator abc:separator abc:separator" and worker.waiting == 0
        worker.stop()

    asyncio.run(run())


def test_a_step_that_fails_fails_the_jobs_of_the_batch_alone(caplog):
    scripted = Scripted("abc")

    async def run() -> None:
        worker = working(scripted)
        worker.start()
        scripted.fails = True
        bad = Job(rows(2))
        worker.submit(bad)
        with pytest.raises(Problem) as error:
            while True:
                await bad.next()
        assert error.value.status == 500
        good = Job(rows(1))
        worker.submit(good)
        assert await text_of(good) == "abc:separator" and worker.load.failed == 1
        worker.stop()

    asyncio.run(run())
    assert "secret words" not in caplog.text


def test_a_job_that_cannot_be_begun_fails_alone():
    async def run() -> None:
        worker = working(Scripted("abc", window=4))
        worker.start()
        bad, good = Job([*rows(1), Row([65] * 5, GREEDY, 0, 0, None, [])]), Job(rows(1))
        worker.submit(bad)
        worker.submit(good)
        with pytest.raises(Problem):
            await text_of(bad)
        assert await text_of(good) == "abc:separator" and worker.waiting == 0
        worker.stop()

    asyncio.run(run())


def test_jobs_are_told_when_the_thread_stops():
    scripted = Scripted("abc" * 30)

    async def run() -> None:
        worker = working(scripted)
        worker.start()
        job = Job(rows(1))
        scripted.gate.clear()
        worker.submit(job)
        await job.next()
        scripted.gate.set()
        await asyncio.to_thread(worker.stop)
        with pytest.raises(Problem, match="the server stops"):
            await text_of(job)

    asyncio.run(run())


def test_where_an_error_was_says_lines_and_no_message():
    try:
        raise ValueError("a prompt")
    except ValueError as error:
        said = where(error)
    assert said.startswith("ValueError at ") and "test_worker.py:" in said and "a prompt" not in said
