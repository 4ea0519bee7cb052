"""Who may speak to the server: the checks before any request is looked at.

A page of a stranger that is open in the user's browser can send requests to 127.0.0.1. Its `Origin` gives it away, and
where it has its own name point here (DNS rebinding), `Host` does: an address cannot be rebound, a name can. So names
other than localhost must be listed.
"""

import hmac
import ipaddress
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prospero.log import log
from prospero.serving.problems import Problem
from prospero.serving.shapes import as_json

OPEN = ("/", "/health", "/favicon.ico")
"""Paths that need no key, beside those of the page; they tell nothing of any model."""
PAGE = "/page/"
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
"""Put on every answer that has not its own."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in."""

    api_key: str | None = None
    """What must stand behind `Authorization: Bearer`; None: nothing."""
    hosts: Collection[str] = ()
    """Names beside localhost and addresses by which the server may be called."""
    origins: Collection[str] = field(default_factory=tuple)
    """Pages of other servers that may speak to it, such as https://chat.example.org."""


class Guard:
    """Refuses what may not come in, and notes each request by its size and not by its content."""

    def __init__(self, app: ASGIApp, access: Access, refused: Callable[[str, Problem], None] | None = None) -> None:
        """Guard `app`; `refused` is told of the path and the problem of those who may not come in."""
        self.app, self.access, self.refused = app, access, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers, begun, status = Headers(scope=scope), time.perf_counter(), 0
        origin = headers.get("origin")

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    added.setdefault(name, value)
                if origin in self.access.origins:
                    added["Access-Control-Allow-Origin"] = origin or ""
                    added["Vary"] = "Origin"
            await send(message)

        scope["state"] = {**scope.get("state", {}), "sizes": ""}
        try:
            self._check(scope, headers)
            preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
            await (_preflight() if preflight else self.app)(scope, receive, noted)
        except Problem as problem:
            if self.refused is not None:
                self.refused(scope["path"], problem)
            refusal = Response(as_json(problem.body), problem.status, problem.headers, "application/json")
            await refusal(scope, receive, noted)
        if status >= 400 or scope["method"] != "GET":
            sizes, seconds = scope["state"]["sizes"], time.perf_counter() - begun
            log.info("%s %s %s %.2f s%s", scope["method"], scope["path"][:80], status or "left", seconds, sizes)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._known(host):
            raise Problem(
                421, f"This server is not called {host[:100]!r}; allowed_hosts= lists the names it may be called by",
                code="host_not_allowed",
            )  # fmt: skip
        if origin is not None and origin not in self.access.origins and _place_of(origin) != host:
            raise Problem(
                403, f"Pages of {origin[:100]!r} may not speak to this server; allowed_origins= lists those that may",
                code="origin_not_allowed",
            )  # fmt: skip
        if self._needs_key(scope, headers) and not self._has_key(headers):
            message = "the API key is missing or wrong; send it as: Authorization: Bearer <key>"
            raise Problem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name or any(sign in host for sign in "/@?#\\"):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", *(known.lower() for known in self.access.hosts))
        return True

    def _needs_key(self, scope: Scope, headers: Headers) -> bool:
        path, method = scope["path"], scope["method"]
        is_open = (path in OPEN or path.startswith(PAGE)) and method in ("GET", "HEAD")
        preflight = method == "OPTIONS" and headers.get("origin") in self.access.origins
        return self.access.api_key is not None and not is_open and not preflight

    def _has_key(self, headers: Headers) -> bool:
        kind, _, key = headers.get("authorization", "").partition(" ")
        wanted = self.access.api_key or ""
        return kind.lower() == "bearer" and hmac.compare_digest(key.strip().encode(), wanted.encode())


def _place_of(origin: str) -> str | None:
    """Return the host and port of an origin; None where it names none, as `null` does."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _preflight() -> Response:
    """Return the answer to what a browser asks before a page of a listed origin may speak."""
    allowed = {"Methods": "GET, POST", "Headers": "authorization, content-type"}
    headers = {f"Access-Control-Allow-{what}": value for what, value in allowed.items()}
    return Response(status_code=204, headers={**headers, "Access-Control-Max-Age": "600"})
