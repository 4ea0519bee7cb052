"""The application: routes of OpenAI's interface over the workers of the models."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from h11 import LocalProtocolError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp

from prospero.log import log
from prospero.serving.answering import GONE, ClientLeft, EventStream, Writing, unless_left, whole
from prospero.serving.asks import Ask, ChatAsk, CompletionAsk, chat_ask, completion_ask
from prospero.serving.fields import parsed
from prospero.serving.guard import Access, Guard
from prospero.serving.limits import LimitsConfig
from prospero.serving.metrics import CONTENT_TYPE, Metrics
from prospero.serving.page_files import page_router
from prospero.serving.problems import Problem, internal
from prospero.serving.served_model import Prepared, ServedModel, find_model
from prospero.serving.shapes import ChatAnswer, TextAnswer, as_json
from prospero.serving.worker import Job, Worker, where

BODY_SECONDS = 30.0
"""How long a client may take to send its body."""
SMALL_BODY = 1024
"""Bytes up to which a request is read in the event loop itself; tokenising more would hold up the others."""


@dataclass
class Service:
    """What the routes stand on."""

    workers: dict[str, Worker]
    limits: LimitsConfig
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def models(self) -> dict[str, ServedModel]:
        """The models by name."""
        return {name: worker.model for name, worker in self.workers.items()}

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._answered(request, "chat", self._chat)

    async def completions(self, request: Request) -> Response:
        """POST /v1/completions."""
        return await self._answered(request, "completions", self._completion)

    def _chat(self, values: dict[str, Any]) -> tuple[ServedModel, ChatAsk, Prepared]:
        model = find_model(self.models, _named(values))
        ask = chat_ask(values, model.sampling, self.limits)
        return model, ask, model.prepared_chat(ask, self.limits)

    def _completion(self, values: dict[str, Any]) -> tuple[ServedModel, CompletionAsk, Prepared]:
        model = find_model(self.models, _named(values))
        ask = completion_ask(values, model.sampling, self.limits)
        return model, ask, model.prepared_completion(ask, self.limits)

    async def _answered(
        self, request: Request, kind: str, read: Callable[[dict[str, Any]], tuple[ServedModel, Ask, Prepared]]
    ) -> Response:
        body = await read_body(request, self.limits.body_bytes)
        values = parsed(body)
        if len(body) <= SMALL_BODY:
            model, ask, prepared = read(values)
        else:
            model, ask, prepared = await asyncio.to_thread(read, values)
        made = ChatAnswer if isinstance(ask, ChatAsk) else TextAnswer
        answer = made(model.name, model.fingerprint, model.tokenizer, logprobs=ask.top is not None,
                      usage=ask.include_usage)  # fmt: skip
        answer.ours["seed"] = ask.sampling.seed
        if prepared.left_out is not None:
            answer.ours["left_out"] = prepared.left_out
        worker = self.workers[model.name]
        writing = Writing(worker, prepared, Job(prepared.rows), self.metrics, self.limits.seconds, kind)
        if ask.stream:
            return EventStream(writing, answer)
        try:
            found = await unless_left(request.receive, whole(writing, answer))
        except ClientLeft:
            return Response(status_code=GONE)
        finally:
            request.scope["state"]["sizes"] = writing.close()
        return Response(as_json(found), media_type="application/json")

    async def list_models(self) -> Response:
        """GET /v1/models."""
        found = [model.description() for model in self.models.values()]
        return Response(as_json({"object": "list", "data": found}), media_type="application/json")

    async def one_model(self, name: str) -> Response:
        """GET /v1/models/<name>."""
        return Response(as_json(find_model(self.models, name).description()), media_type="application/json")

    async def health(self) -> Response:
        """GET /health: 503 when a model's thread has ended."""
        dead = [name for name, worker in self.workers.items() if not worker.alive]
        found = {"status": "failed", "models": dead} if dead else {"status": "ok"}
        return Response(as_json(found), 503 if dead else 200, media_type="application/json")

    async def measured(self) -> Response:
        """GET /metrics."""
        running = [("prospero_rows_running", "Texts in the batch.", {"model": n}, w.running) for n, w in self._all()]
        waiting = [("prospero_rows_waiting", "Texts that wait.", {"model": n}, w.waiting) for n, w in self._all()]
        return Response(self.metrics.text([*running, *waiting]), headers={"content-type": CONTENT_TYPE})

    def _all(self) -> list[tuple[str, Worker]]:
        return list(self.workers.items())


def create_app(service: Service, access: Access | None = None) -> ASGIApp:
    """Return the application; its workers are started by whoever runs it."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_api_route("/v1/models", service.list_models, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", service.one_model, methods=["GET"])
    app.add_api_route("/v1/completions", service.completions, methods=["POST"])
    app.add_api_route("/v1/chat/completions", service.chat, methods=["POST"])
    app.add_api_route("/health", service.health, methods=["GET"])
    app.add_api_route("/metrics", service.measured, methods=["GET"])
    app.include_router(page_router())

    def counted(path: str, problem: Problem) -> None:
        labels = {"path": path if path in KNOWN else "other", "status": str(problem.status)}
        service.metrics.count("prospero_errors_total", "Requests that were refused or failed.", labels)

    def told(request: Request, problem: Problem) -> Response:
        counted(request.scope["path"], problem)
        return Response(as_json(problem.body), problem.status, problem.headers, "application/json")

    async def of_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return told(request, error)

    async def of_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.scope["path"][:100]
        message = f"{request.method} {path} is nothing that this server offers"
        problem = Problem(error.status_code, message, code="not_found" if error.status_code == 404 else None,
                          headers=dict(error.headers or {}))  # fmt: skip
        return told(request, problem)

    app.add_exception_handler(Problem, of_problem)
    app.add_exception_handler(HTTPException, of_route)
    return Guard(_Caught(app, told), access or Access(), counted)


KNOWN = ("/v1/models", "/v1/completions", "/v1/chat/completions", "/health", "/metrics")


class _Caught:
    """Turns a fault of ours into an answer and a line of the log that quotes nothing a client has sent."""

    def __init__(self, app: ASGIApp, told: Callable[[Request, Problem], Response]) -> None:
        self.app, self.told = app, told

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def watched(message: Any) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except (ClientDisconnect, LocalProtocolError):  # of the latter it has been told already, by uvicorn
            return
        except Exception as error:
            log.error("%s failed: %s", scope.get("path", "")[:80], where(error))
            if not begun:
                await self.told(Request(scope), internal())(scope, receive, send)


def _named(values: dict[str, Any]) -> str | None:
    name = values.get("model")
    if name is not None and not isinstance(name, str):
        raise Problem(400, "'model' must be a text", param="model")
    return name


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request; Problem for one that is too large, too slow, or does not say it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"the body must be JSON: send Content-Type: application/json, not {kind[:60]!r}")
    length = request.headers.get("content-length", "")
    too_large = Problem(413, f"the body is larger than {most:,} bytes (the server's limits.body_bytes)")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise Problem(408, f"the body did not come within {BODY_SECONDS:g} s") from None
    return bytes(body)
