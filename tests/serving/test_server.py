"""The socket, clients that leave, and the end of the server."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from prospero.errors import ConfigError
from prospero.serving.server import is_loopback, open_socket, url_of
from tests import programs
from tests.checkpoints import stored
from tests.serving.live import HTTP, Live, Scripted, Slow, live, served

ROOT = Path(__file__).parents[2]
KEY = "a-key-that-nobody-guesses"


def until(condition, most_seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + most_seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def sent(running: Live, body: bytes) -> socket.socket:
    """Send a request and return the connection."""
    host, port = running.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    connection.sendall(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_text_ends_when_its_client_leaves(stream, caplog):
    scripted = Scripted("a" * 5000)
    with live(served(scripted)) as running, caplog.at_level("INFO", logger="prospero"):
        worker = running.service.workers["tiny"]
        with sent(running, b'{"prompt": "x", "max_tokens": 4000, "stream": %s}' % stream.encode()):
            until(lambda: scripted.steps > 3)
        until(lambda: worker.running == 0)
        assert scripted.steps < 4000 and scripted.rows == 0
        until(lambda: "left" in caplog.text)
        assert running.complete(prompt="x", max_tokens=2)["choices"][0]["text"] == "aa"
        assert "prospero_abandoned_total" in HTTP.get(f"{running.url}/metrics").text


def test_one_that_waits_and_leaves_is_never_begun():
    scripted = Scripted("ab" * 50)
    scripted.gate.clear()
    with live(served(scripted), rows=1) as running:
        worker = running.service.workers["tiny"]
        with sent(running, b'{"prompt": "x", "max_tokens": 50}'):
            until(lambda: worker.running == 1)
            with sent(running, b'{"prompt": "waits"}'):
                until(lambda: worker.waiting == 1)
            scripted.gate.set()
            until(lambda: worker.running == 0)
        until(lambda: worker.waiting == 0)
    assert len(scripted.read) == 1


def test_what_runs_is_finished_and_nothing_new_is_taken():
    scripted = Scripted("abcdefgh")
    scripted.gate.clear()
    answers = []
    with live(served(scripted)) as running:
        worker = running.service.workers["tiny"]
        thread = threading.Thread(target=lambda: answers.append(running.complete(prompt="x")))
        thread.start()
        until(lambda: worker.running == 1)
        running.server.should_exit = True
        until(lambda: not _answers(running.url))
        scripted.gate.set()
        thread.join(20)
    assert answers[0]["choices"][0]["text"] == "abcdefgh"


def _answers(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_what_is_not_done_at_the_limit_ends_where_it_is():
    answers = []
    with live(served(Slow("a" * 5000)), stop_seconds=0.3) as running:
        worker = running.service.workers["tiny"]
        body = {"prompt": "x", "max_tokens": 4000}
        thread = threading.Thread(target=lambda: answers.append(running.complete(**body)))
        thread.start()
        until(lambda: worker.running == 1)
        running.server.should_exit = True
        thread.join(20)
    choice = answers[0]["choices"][0]
    assert 0 < len(choice["text"]) < 4000 and choice["finish_reason"] == "length"
    assert answers[0]["prospero"]["ended_by"] == ["shutdown"]


def test_addresses():
    with open_socket("127.0.0.1", 0) as opened:
        assert is_loopback(opened) and url_of(opened) == f"http://127.0.0.1:{opened.getsockname()[1]}"
        with pytest.raises(ConfigError, match=r"^port=\d+ of 127.0.0.1 cannot be used: address already in use; choose"):
            open_socket("127.0.0.1", opened.getsockname()[1])
    with open_socket("0.0.0.0", 0) as everywhere:
        assert not is_loopback(everywhere)
    with pytest.raises(ConfigError, match=r"^host=no such host is no address: "):
        open_socket("no such host", 0)


def started(folder: Path) -> tuple[programs.Program, str]:
    """Start the program over a tiny model for all addresses; return it and where it answers."""
    stored.write(folder, 1)
    stored.save_tokenizer(folder)
    (folder / "config.yaml").write_text("")
    words = [sys.executable, str(ROOT / "serve.py"), f"run={folder}", "port=0", "host=0.0.0.0", "stop_seconds=1"]
    environment = {**os.environ, "PROSPERO_API_KEY": KEY}
    program = programs.Program(
        [*words, "limits.new_tokens=1000000"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert program.stderr is not None
    for line in program.stderr:
        if line.startswith("serving "):
            return program, line.split(" at ")[-1].split()[0].replace("0.0.0.0", "127.0.0.1")
    raise AssertionError("it has not begun to serve")


@pytest.mark.processes
@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_one_signal_lets_texts_end_and_a_second_ends_at_once(tmp_path, count):
    program, url = started(tmp_path / "a run's <folder>")
    body = {"prompt": "x", "max_tokens": 1_000_000, "stream": True}
    named = {"authorization": f"Bearer {KEY}"}
    assert HTTP.get(f"{url}/v1/models").status_code == 401
    with HTTP.stream("POST", f"{url}/v1/completions", json=body, headers=named) as answer:
        lines = answer.iter_lines()
        next(lines)
        program.send_signal(signal.SIGTERM)
        if count == 2:
            until(lambda: not _answers(url))
            program.send_signal(signal.SIGINT)
            with pytest.raises(httpx.HTTPError):
                list(lines)
        else:
            assert list(lines)[-2] == "data: [DONE]"
    errors = program.communicate(timeout=30)[1]
    assert program.returncode == (0 if count == 1 else 128 + signal.SIGINT), errors
    assert KEY not in errors
    assert ("ended at once by a second SIGINT" if count == 2 else "the server has ended") in errors
