"""One request from its rows to its answer: until all is written, its time is up, or its client has left."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prospero.log import log
from prospero.serving.choices import Choice, Piece, merged
from prospero.serving.metrics import Metrics
from prospero.serving.problems import Problem, internal, overloaded
from prospero.serving.served_model import Prepared
from prospero.serving.shapes import DONE, ChatAnswer, TextAnswer, as_event
from prospero.serving.worker import Job, Worker, where

GONE = 499
"""The status that is noted where the client has left, as nginx has it; nobody reads it."""
LAST_WORDS_SECONDS = 10.0
"""What is given a client that does not read, once its time is up."""


class ClientLeft(Exception):
    """The client has closed the connection."""


@dataclass
class Writing:
    """A request whose rows are in the batch of a worker."""

    worker: Worker
    prepared: Prepared
    job: Job
    metrics: Metrics
    seconds: float
    """How long it may take, from `begun` on."""
    kind: str
    begun: float = field(default_factory=time.perf_counter)
    choices: list[Choice] = field(default_factory=list)
    first: float | None = None
    """When the first token came, in seconds after `begun`."""
    late: bool = False

    def __post_init__(self) -> None:
        self.choices = [Choice(index, self.prepared.lead) for index in range(len(self.prepared.rows))]
        self.worker.submit(self.job)

    @property
    def done(self) -> bool:
        """Whether all texts have ended."""
        return all(choice.finish is not None for choice in self.choices)

    @property
    def usage(self) -> dict[str, int]:
        """Tokens read and written so far."""
        written = sum(choice.count for choice in self.choices)
        read = self.prepared.prompt_tokens
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    async def pieces(self) -> AsyncGenerator[list[Piece]]:
        """Yield what comes until all texts have ended; Problem where there is nothing to tell when the time is up."""
        while not self.done:
            events = await self._next()
            if self.first is None:
                self.first = time.perf_counter() - self.begun
            yield merged([self.choices[place].take(event) for place, event in events])

    async def _next(self) -> list[Any]:
        left = self.begun + self.seconds - time.perf_counter()
        if not self.late:
            try:
                async with asyncio.timeout(max(0.0, left)):
                    return await self.job.next()
            except TimeoutError:
                if self.first is None:
                    raise overloaded(f"nothing could be written within {self.seconds:g} s; try again later") from None
                self.late = True
                self.worker.end(self.job)
        return await self.job.next()

    def close(self) -> str:
        """Take out what is still being written, count what was, and return its sizes for the log."""
        if not self.done:
            self.worker.drop(self.job)
        m, usage, labels = self.metrics, self.usage, {"model": self.worker.model.name}
        m.count("prospero_prompt_tokens_total", "Tokens of prompts.", labels, usage["prompt_tokens"])
        m.count("prospero_completion_tokens_total", "Tokens written.", labels, usage["completion_tokens"])
        seconds = time.perf_counter() - self.begun
        m.observe("prospero_request_seconds", "From the request to its end.", {**labels, "kind": self.kind}, seconds)
        if self.first is not None:
            m.observe("prospero_first_token_seconds", "From the request to its first token.", labels, self.first)
        if not self.done:
            m.count("prospero_abandoned_total", "Requests whose client left, or that failed.", labels)
        ends = ",".join(sorted({choice.ended_by or "left" for choice in self.choices}))
        first = "" if self.first is None else f", first {self.first:.3f} s"
        name, rows = self.worker.model.name, len(self.choices)
        return f" {name}: {usage['prompt_tokens']} + {usage['completion_tokens']} tokens, {rows} texts, {ends}{first}"


async def whole(writing: Writing, answer: ChatAnswer | TextAnswer) -> dict[str, Any]:
    """Return the answer when all of its texts have ended."""
    async for _ in writing.pieces():
        pass
    answer.ours["ended_by"] = [choice.ended_by for choice in writing.choices]
    return answer.whole(writing.choices, writing.usage)


async def streamed(writing: Writing, answer: ChatAnswer | TextAnswer) -> AsyncGenerator[bytes]:
    """Yield the answer as events; what goes wrong on the way is one of them, and then no [DONE] comes."""
    try:
        yield b"".join(as_event(opening) for opening in answer.opening(len(writing.choices)))
        async for found in writing.pieces():
            yield b"".join(as_event(value) for value in answer.pieces(found))
        yield (as_event(answer.closing(writing.usage)) if answer.usage else b"") + DONE
    except Problem as problem:
        yield as_event(problem.body)
    except Exception as error:
        log.error("a stream failed: %s", where(error))
        yield as_event(internal().body)


async def unless_left(receive: Receive, work: Awaitable[Any]) -> Any:
    """Return what `work` returns; ClientLeft, and the work is cancelled, when the client goes first."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft
    finally:
        for one in (task, gone):
            one.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events of a writing."""

    def __init__(self, writing: Writing, answer: ChatAnswer | TextAnswer) -> None:
        super().__init__(status_code=200, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.writing, self.answer = writing, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events as they come; end the writing when the client leaves, or does not read any more."""
        events = streamed(self.writing, self.answer)
        try:
            async with asyncio.timeout(self.writing.seconds + LAST_WORDS_SECONDS):
                await unless_left(receive, self._send(events, send))
        except (ClientLeft, TimeoutError):
            pass  # nobody reads what could be said
        finally:
            await events.aclose()
            scope["state"]["sizes"] = self.writing.close()

    async def _send(self, events: AsyncGenerator[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for event in events:
            if event:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
