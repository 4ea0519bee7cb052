"""Fixtures of the board's tests: a board that runs, and a browser that looks at it."""

import threading

import pytest

from prospero.board.board import Board
from prospero.board.server import BoardServer
from tests.browser import browser, open_page, watched

__all__ = ["browser", "open_page", "serve", "watched"]


@pytest.fixture
def serve(tmp_path):
    """Yield `serve(root, **options)`: a running BoardServer of a folder."""
    servers = []

    def start(root=tmp_path, **options):
        given = {"refresh_seconds": 0.3, "stop_button": False} | options
        server = BoardServer(Board(root), 0, **given)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
