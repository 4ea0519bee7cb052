"""Running the application: the socket, the threads of the models, and the signals that end it."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from prospero.errors import ConfigError
from prospero.log import log
from prospero.serving.worker import Worker

BACKLOG = 512
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LAST_SECONDS = 5.0
"""How long the connections may take to close once everything has been ended."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; ConfigError for an address that cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host={host} is no address: {_why(error)}; leave it out for 127.0.0.1") from error
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"port={port} of {host} cannot be used: {_why(error)}; choose another with port=, or 0 for any free one"
        ) from error
    return opened


def _why(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)


def is_loopback(opened: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    return ipaddress.ip_address(opened.getsockname()[0].partition("%")[0]).is_loopback


def url_of(opened: socket.socket) -> str:
    """Return the address as a browser takes it."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, which finishes what runs when it is told to end, up to a limit, and at once when it is told again."""

    def __init__(self, app: ASGIApp, workers: Sequence[Worker], *, stop_seconds: float, connections: int) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=connections,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=None,
            ws="none",
        )
        super().__init__(config)
        self.workers, self.stop_seconds = workers, stop_seconds
        self.on_started: Callable[[], None] = lambda: None
        """Called once when requests are answered."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the models' threads, then listen."""
        for worker in self.workers:
            worker.start()
        await super().startup(sockets)
        self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, let what runs end, cut it off at the limit, and end the threads."""
        rows = sum(worker.running + worker.waiting for worker in self.workers)
        if rows:
            log.info("%d texts are being finished, up to %g s; a second signal ends at once", rows, self.stop_seconds)
        cut = asyncio.get_running_loop().call_later(self.stop_seconds, self._cut)
        await super().shutdown(sockets)
        cut.cancel()
        for worker in self.workers:
            await asyncio.to_thread(worker.stop)

    def _cut(self) -> None:
        log.warning("texts that were not done after %g s end where they are", self.stop_seconds)
        for worker in self.workers:
            worker.end_all()
        asyncio.get_running_loop().call_later(LAST_SECONDS, self._leave)

    def _leave(self) -> None:
        self.force_exit = True  # a client that does not read holds its connection open

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch SIGTERM and SIGINT, in the main thread; the second one ends the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        earlier = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The handler."""
        if self.should_exit:
            os.write(2, f"ended at once by a second {signal.Signals(sig).name}\n".encode())
            os._exit(128 + sig)
        self.should_exit = True


def run(server: Server, opened: socket.socket) -> None:
    """Serve until a signal comes."""
    _quiet()
    asyncio.run(server.serve([opened]))


def _quiet() -> None:
    """Have uvicorn say its warnings by our log, each in one line, and nothing else."""
    import logging

    for name in ("uvicorn", "uvicorn.error"):
        theirs = logging.getLogger(name)
        theirs.handlers, theirs.propagate = list(log.handlers), False
        theirs.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").handlers = []
    logging.getLogger("uvicorn.error").propagate = True
