"""The board over HTTP, for this machine alone: it listens on 127.0.0.1 and answers to no other name.

It reads files; the one thing that it writes is the file STOP of a run, where that was asked for, for a page of its own
origin that knows the token of this start. What a run's files hold is never trusted: pages of runs are shown without
scripts, everything else as text.
"""

import hmac
import json
import secrets
import shutil
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from prospero.board.board import Board, Unknown
from prospero.board.files import PAGE_POLICY, open_file

ADDRESS = "127.0.0.1"
PAGES = Path(__file__).with_name("pages")
INDEX = "index.html"
PAGE_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN_HEADER = "X-Prospero-Token"
_MOST_BODY_BYTES = 8192
_MOST_FIELDS = 5000
_JSON = "application/json"


def page_files() -> list[str]:
    """Return the names of the page's own files, its index aside."""
    return sorted(path.name for path in PAGES.iterdir() if path.suffix in PAGE_KINDS)


class BoardServer(ThreadingHTTPServer):
    """The board on a port of this machine; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, board: Board, port: int, *, refresh_seconds: float, stop_button: bool) -> None:
        self.board, self.refresh_seconds = board, refresh_seconds
        self.token = secrets.token_urlsafe(24) if stop_button else None
        super().__init__((ADDRESS, port), _Answer)
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no error of ours; everything else is."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Answer(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: BoardServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "prospero", ""
    timeout = 60
    headers_of_all: ClassVar[dict[str, str]] = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""

    def do_GET(self) -> None:
        """Answer a page, a question or a file."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Ask a run to stop, where that is allowed."""
        self._answer(self._post)

    def _answer(self, handle: Any) -> None:
        try:
            self._check_host()
            handle()
        except _Refused as refusal:
            self._refuse(refusal.status, str(refusal))
        except Unknown:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such run")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # a body may not have been read
        self._send(status, _JSON, json.dumps({"error": why}).encode())

    def _check_host(self) -> None:
        """A page of elsewhere whose name was made to lead here would come with its own name: DNS rebinding."""
        if self.headers.get("Host", "") not in self.server.hosts:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, f"this board is called {self.server.url}")

    def _get(self) -> None:
        try:
            address = urlsplit(self.path)
            query = parse_qs(address.query, max_num_fields=_MOST_FIELDS, keep_blank_values=True)
        except ValueError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"this is no address: {error}") from error
        if address.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", (PAGES / INDEX).read_bytes())
        elif address.path.startswith("/page/"):
            self._page_file(address.path.removeprefix("/page/"))
        elif address.path == "/api/runs":
            self._runs(query.get("since", [""])[0])
        elif address.path == "/api/curves":
            self._curves(query)
        elif address.path == "/api/detail":
            self._json(self.server.board.detail(query.get("run", [""])[0]))
        elif address.path == "/api/file":
            self._run_file(query.get("run", [""])[0], query.get("path", [""])[0])
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _page_file(self, name: str) -> None:
        if name not in page_files():
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        self._send(HTTPStatus.OK, PAGE_KINDS[Path(name).suffix], (PAGES / name).read_bytes())

    def _runs(self, since: str) -> None:
        board = self.server.board
        board.refresh()
        own = {"outputs": str(board.root), "refresh_seconds": self.server.refresh_seconds, "token": self.server.token}
        self._json(board.runs(since) | own)

    def _curves(self, query: dict[str, list[str]]) -> None:
        metric, points = query.get("metric", [""])[0], query.get("points", [""])[0]
        if not points.isascii() or not points.isdigit() or len(points) > 9:
            raise _Refused(HTTPStatus.BAD_REQUEST, "points= is a whole number")
        wanted = [(key, tag) for key, _, tag in (text.partition("~") for text in query.get("run", []))]
        self._json(self.server.board.curves(metric, wanted, int(points)))

    def _run_file(self, key: str, path: str) -> None:
        board = self.server.board
        opened = open_file(board.view(key).place.path, path)
        if opened is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such file, or none of a kind that is shown")
        file, kind, size = opened
        with file:
            self._head(HTTPStatus.OK, kind, size, PAGE_POLICY)
            shutil.copyfileobj(_Limited(file, size), self.wfile)  # type: ignore[arg-type]

    def _post(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/api/stop":
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        if self.server.token is None:
            raise _Refused(HTTPStatus.FORBIDDEN, "this board only looks; start it with stop_button=true to stop runs")
        if self.headers.get("Origin", "") not in {f"http://{host}" for host in self.server.hosts}:
            raise _Refused(HTTPStatus.FORBIDDEN, "the request comes from another page")
        if not hmac.compare_digest(self.headers.get(TOKEN_HEADER, "").encode(), self.server.token.encode()):
            raise _Refused(HTTPStatus.FORBIDDEN, "the page is of an earlier start of this board; load it again")
        if not length.isascii() or not length.isdigit() or not 0 < int(length) <= _MOST_BODY_BYTES:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"a body of at most {_MOST_BODY_BYTES} bytes is needed")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            asked = None
        key = asked.get("run") if isinstance(asked, dict) else None
        if not isinstance(key, str):
            raise _Refused(HTTPStatus.BAD_REQUEST, 'the body is {"run": "<key of a run>"}')
        trouble = self.server.board.stop(key)
        if trouble:
            raise _Refused(HTTPStatus.CONFLICT, trouble)
        self._json({"asked": key})

    def _json(self, answer: Any) -> None:
        self._send(HTTPStatus.OK, _JSON, json.dumps(answer, allow_nan=False, separators=(",", ":")).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._head(status, kind, len(body), POLICY)
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, size: int, policy: str) -> None:
        self.send_response(status)
        for name, value in {**self.headers_of_all, "Content-Security-Policy": policy}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


class _Limited:
    """A file of which no more is read than its size when it was opened: it may grow meanwhile."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left = file, size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; zeros where the file has shrunk, so that as many come as were announced."""
        wanted = self.left if size < 0 else min(size, self.left)
        data = self.file.read(wanted)
        data += b"\0" * (wanted - len(data))
        self.left -= len(data)
        return data
