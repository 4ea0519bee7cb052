"""A server without a model: the HTTP of the real one, and answers that a test has written down."""

import asyncio
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from prospero.serving.page_files import page_router

DEFAULTS = {"temperature": 0.8, "top_p": 0.95, "top_k": None, "max_tokens": 200, "min_p": 0.0}
MODELS = [
    {"id": "tempest", "prospero": {"kind": "dialogue", "context": 256, "parameters": 1_300_000, "precision": "bf16"}},
    {"id": "base", "prospero": {"kind": "completion", "context": None, "parameters": 820, "precision": "float32"}},
]
LOG_P = math.log(0.5)


class FakeServer:
    """Writes `answers` one after the other (the last again and again), a token each `pause` seconds."""

    def __init__(self) -> None:
        self.forget()
        self.app = FastAPI()
        self.app.include_router(page_router())
        self.app.add_api_route("/v1/models", self._models, methods=["GET"], response_model=None)
        self.app.add_api_route("/v1/chat/completions", self._chat, methods=["POST"], response_model=None)
        self.app.add_api_route("/v1/completions", self._text, methods=["POST"], response_model=None)

    def forget(self) -> None:
        """Be as at first."""
        self.answers: list[list[str]] = [["Hello", " there", "."]]
        self.pause = 0.0
        self.key: str | None = None
        self.refusals: list[tuple[int, str]] = []
        """(status, message) of the next requests for text."""
        self.breaks_after: int | None = None
        """Tokens after which the connection just ends."""
        self.slices: int | None = None
        """Bytes that are sent at once, with another kind of line ends and comments between the events."""
        self.bodies: list[dict[str, Any]] = []
        """What was asked for, in order."""
        self.left = 0
        """Requests whose client left before the end."""

    def wait_until_left(self, most_seconds: float = 10.0) -> None:
        """Return when a client has left; fail when none does."""
        until = time.monotonic() + most_seconds
        while not self.left:
            assert time.monotonic() < until, "the client has not left"
            time.sleep(0.01)

    def _refused(self, request: Request) -> Response | None:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return _error(401, "this server needs a key: send it as 'Authorization: Bearer ...'")
        if request.method == "POST" and self.refusals:
            return _error(*self.refusals.pop(0))
        return None

    async def _models(self, request: Request) -> Response:
        entries = [
            {**entry, "object": "model", "prospero": {**entry["prospero"], "default_sampling": DEFAULTS}}
            for entry in MODELS
        ]
        return self._refused(request) or JSONResponse({"object": "list", "data": entries})

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, chat=True)

    async def _text(self, request: Request) -> Response:
        return await self._answer(request, chat=False)

    async def _answer(self, request: Request, chat: bool) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.json()
        self.bodies.append(body)
        tokens = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        events: AsyncIterator[str | bytes] = self._stream(body, tokens, chat)
        if self.slices is not None:
            events = _sliced(events, self.slices)
        return StreamingResponse(events, media_type="text/event-stream")

    async def _stream(self, body: dict[str, Any], tokens: list[str], chat: bool) -> AsyncIterator[str]:
        try:
            async for event in self._events(body, tokens, chat):
                yield event
            await asyncio.sleep(0.05)  # a client that reads only up to [DONE] leaves now
        except asyncio.CancelledError:
            self.left += 1
            raise

    async def _events(self, body: dict[str, Any], tokens: list[str], chat: bool) -> AsyncIterator[str]:
        limit = body.get("max_tokens", DEFAULTS["max_tokens"])
        for number, token in enumerate(tokens[:limit]):
            if number == self.breaks_after:
                return
            yield _data(_chunk(body, _piece(token, bool(body.get("logprobs")), chat), chat))
            await asyncio.sleep(self.pause)
        end = {"index": 0, "finish_reason": "length" if len(tokens) > limit else "stop", "logprobs": None}
        yield _data(_chunk(body, {**end, **({"delta": {}} if chat else {"text": ""})}, chat))
        if body.get("stream_options", {}).get("include_usage"):
            written = len(tokens[:limit])
            usage = {"prompt_tokens": 7, "completion_tokens": written, "total_tokens": 7 + written}
            yield _data({**_chunk(body, None, chat), "usage": usage})
        yield "data: [DONE]\n\n"


async def _sliced(events: AsyncIterator[Any], size: int) -> AsyncIterator[bytes]:
    async for event in events:
        raw = (": a comment\n\n" + event).replace("\n", "\r\n").encode()
        for start in range(0, len(raw), size):
            yield raw[start : start + size]


def _data(facts: dict[str, Any]) -> str:
    return f"data: {json.dumps(facts, ensure_ascii=False)}\n\n"


def _error(status: int, message: str) -> Response:
    facts = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": facts}, status, {"Retry-After": "3"} if status in (429, 503) else {})


def _chunk(body: dict[str, Any], choice: dict[str, Any] | None, chat: bool) -> dict[str, Any]:
    kind = "chat.completion.chunk" if chat else "text_completion"
    choices = [] if choice is None else [choice]
    return {"id": "x-1", "object": kind, "created": 0, "model": body["model"], "choices": choices}


def _piece(token: str, chances: bool, chat: bool) -> dict[str, Any]:
    """Return a token with probability 1/2, beside " other" with 1/4, in the shape of either road."""
    if chat:
        top = [{"token": text, "logprob": p, "bytes": None} for text, p in ((token, LOG_P), (" other", 2 * LOG_P))]
        content = {"content": [{**top[0], "top_logprobs": top}]}
        shown: dict[str, Any] = {"delta": {"content": token}}
    else:
        top_p = [{token: LOG_P, " other": 2 * LOG_P}]
        content = {"tokens": [token], "token_logprobs": [LOG_P], "top_logprobs": top_p, "text_offset": [0]}
        shown = {"text": token}
    return {"index": 0, "finish_reason": None, "logprobs": content if chances else None, **shown}


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Serve `app` on a free port of this machine, in a thread; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server has not started"
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
