"""The board over HTTP: for this machine alone, reading alone, and STOP only for its own page."""

import contextlib
import http.client
import json
import os
import socket
from urllib.parse import quote

import numpy as np
import pytest

from prospero.processes.run_lock import RunLock
from tests.board.fakes import HOSTILE, NOT_UTF8, finished, make_run


class Client:
    """Speaks to a running board."""

    def __init__(self, server):
        self.server = server

    def ask(self, path, *, method="GET", headers=None, body=None, host=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        own = {"Host": host or f"127.0.0.1:{self.server.server_port}"}
        connection.request(method, path, body=body, headers=own | (headers or {}))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def json(self, path, **given):
        answer, data = self.ask(path, **given)
        return answer.status, json.loads(data)


@pytest.fixture
def begin(serve):
    """Return `begin(**options)`: a client of a board of tmp_path."""
    return lambda **options: Client(serve(**options))


def test_it_listens_on_this_machine_alone(begin):
    assert begin().server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "localhost", "x"])
def test_another_name_is_refused(begin, host):
    status, answer = begin().json("/api/runs", host=host)
    assert (status, list(answer)) == (421, ["error"])


def test_localhost_is_a_name_of_it(begin):
    client = begin()
    assert client.json("/api/runs", host=f"localhost:{client.server.server_port}")[0] == 200


def test_the_page_and_its_files_have_a_strict_policy(begin):
    client = begin()
    for path in ("/", "/page/main.js", "/page/board.css", "/api/runs"):
        answer, data = client.ask(path)
        assert answer.status == 200 and data
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in answer.headers


ELSEWHERE = """
/page/ /page/../server.py /page/..%2fserver.py /page/index.html /etc/passwd /api /api/stop /api/file /api/detail
/api/file?run=..&path=config.yaml /api/file?run=train/a&path=../a/config.yaml /%2e%2e/x /api/detail?run=../..
/api/file?run=train/a/checkpoints&path=x.txt /api/file?run=train/a
"""


@pytest.mark.parametrize("path", ELSEWHERE.split())
def test_everything_else_is_not_there(begin, tmp_path, path):
    make_run(tmp_path, "train/a")
    client = begin()
    client.ask("/api/runs")
    assert client.json(path)[0] == 404


@pytest.mark.parametrize(
    "query", ["", "?metric=x", "?metric=x&points=-1", "?points=9999999999", "?points=1e3", "?points=٣"]
)
def test_curves_need_a_number_of_points(begin, query):
    assert begin().json(f"/api/curves{quote(query, safe='?=&')}")[0] == 400


@pytest.mark.parametrize("path", ["http://[/", "/api/runs?" + "a=1&" * 6000])
def test_what_is_no_address_is_refused(begin, path):
    assert begin().json(path)[0] == 400


def test_curves_are_answered(begin, tmp_path):
    make_run(tmp_path, "train/a b")
    client = begin()
    key = client.json("/api/runs")[1]["runs"][0]["key"]
    status, answer = client.json(
        f"/api/curves?metric={quote('train/loss', safe='')}&points=100&run={quote(key, safe='')}~"
    )
    assert (status, answer[key]["curve"]["y"][0]) == (200, 4.0)


@pytest.mark.parametrize("name", [HOSTILE.replace("/", ""), NOT_UTF8, "a+b %41"])
def test_files_of_runs_are_served_by_any_name_without_scripts(begin, tmp_path, name):
    folder = make_run(tmp_path, "train/plain")
    (folder / "report.html").write_text("<script>document.title = 'owned'</script>page")
    folder.rename(folder.with_name(name))
    client = begin()
    key = client.json("/api/runs")[1]["runs"][0]["key"]
    files = client.json(f"/api/detail?run={quote(key, safe='')}")[1]["files"]
    assert [file["name"] for file in files] == ["report.html", "config.yaml", "log.txt", "metrics.csv"]
    for file in files:
        answer, data = client.ask(f"/api/file?run={quote(key, safe='')}&path={quote(file['path'], safe='')}")
        assert (answer.status, len(data)) == (200, file["bytes"])
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none';") and "script-src" not in policy
        assert answer.headers["Content-Type"].startswith("text/html" if file["name"] == "report.html" else "text/plain")


def test_nothing_is_stopped_unless_that_was_asked_for(begin, tmp_path):
    folder = make_run(tmp_path, "train/a")
    client = begin()
    assert client.json("/api/runs")[1]["token"] is None
    with RunLock(folder).take():
        status, answer = client.json("/api/stop", method="POST", body=json.dumps({"run": "train/a"}))
    assert (status, "stop_button=true" in answer["error"]) == (403, True)
    assert not (folder / "STOP").exists()


STOPS = {
    "as the page does it": (lambda given: given, 200),
    "without a token": (lambda given: given | {"token": ""}, 403),
    "with another token": (lambda given: given | {"token": "x" * 32}, 403),
    "with a token of other letters": (lambda given: given | {"token": "\xe9"}, 403),
    "from another page": (lambda given: given | {"origin": "http://evil.example"}, 403),
    "from nowhere": (lambda given: given | {"origin": ""}, 403),
    "from a page of a file": (lambda given: given | {"origin": "null"}, 403),
    "of another run": (lambda given: given | {"body": '{"run": "train/b"}'}, 404),
    "of a path": (lambda given: given | {"body": '{"run": "../../etc"}'}, 404),
    "of nothing": (lambda given: given | {"body": "{}"}, 400),
    "of a list": (lambda given: given | {"body": "[1]"}, 400),
    "of no JSON": (lambda given: given | {"body": "{"}, 400),
    "of depth": (lambda given: given | {"body": "[" * 8000}, 400),
    "of too much": (lambda given: given | {"body": '{"run": "' + "a" * 9000 + '"}'}, 400),
    "of a finished run": (lambda given: given | {"body": '{"run": "train/done"}'}, 409),
}


@pytest.mark.parametrize("how", STOPS)
def test_stop_is_for_the_own_page_and_a_run_that_runs(begin, tmp_path, how):
    folder = make_run(tmp_path, "train/a")
    make_run(tmp_path, "train/done", result=finished())
    client = begin(stop_button=True)
    with RunLock(folder).take():
        token = client.json("/api/runs")[1]["token"]
        given = {
            "token": token,
            "origin": f"http://127.0.0.1:{client.server.server_port}",
            "body": '{"run": "train/a"}',
        }
        change, expected = STOPS[how]
        given = change(given)
        headers = {"X-Prospero-Token": given["token"].encode("latin-1")} | (
            {"Origin": given["origin"]} if given["origin"] else {}
        )
        status, _ = client.json("/api/stop", method="POST", headers=headers, body=given["body"])
        assert status == expected
        assert (folder / "STOP").exists() == (expected == 200)
    assert sorted(os.listdir(tmp_path / "train")) == ["a", "done"]


def test_every_start_has_a_token_of_its_own(begin):
    tokens = {begin(stop_button=True).json("/api/runs")[1]["token"] for _ in range(2)}
    assert len(tokens) == 2 and min(map(len, tokens)) >= 32


def test_a_file_that_grows_while_it_is_sent_is_sent_as_announced(begin, tmp_path):
    folder = make_run(tmp_path, "train/a")
    (folder / "log.txt").write_text("x" * 1_000_000)
    client = begin()
    client.ask("/api/runs")
    connection = http.client.HTTPConnection("127.0.0.1", client.server.server_port, timeout=20)
    connection.request("GET", "/api/file?run=train/a&path=log.txt")
    answer = connection.getresponse()
    with open(folder / "log.txt", "a") as file:
        file.write("y" * 1000)
    assert answer.read() == b"x" * 1_000_000
    connection.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_refused(begin, method):
    assert begin().ask("/api/runs", method=method)[0].status == 501


@pytest.mark.deep
def test_no_request_is_an_error_of_the_server(begin, tmp_path, capfd):
    """3000 malformed requests, straight into the socket: 4xx or a closed connection, and it still answers."""
    make_run(tmp_path, "train/a")
    client = begin(stop_button=True)
    random = np.random.default_rng(0)
    port = client.server.server_port
    words = (
        b"GET|POST|/api/curves?|/api/file?run=train/a&path=|metric=%ff%zz|&run=~|points=5|\xff| |HTTP/1.1|\r\n".split(
            b"|"
        )
    )
    words += [
        b"\xff",
        b" ",
        b"HTTP/1.1",
        b"\r\n",
        b"Host: ",
        b"127.0.0.1:%d" % port,
        b"Content-Length: -5",
        b"Content-Length: 99999999999",
        b"{",
        b"\0",
    ]
    words += [b"[" * 500, b"%" * 300, b"/", b"..", b"since=x-" + b"9" * 5000]
    statuses = set()
    for _ in range(3000):
        parts = [words[place] for place in random.integers(0, len(words), size=random.integers(1, 12))]
        begun = b"GET /" if random.random() < 0.5 else b"POST /api/stop"
        host = f"Host: 127.0.0.1:{client.server.server_port}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=20) as connection:
            connection.sendall(begun + b"".join(parts) + b" HTTP/1.1\r\n" + host)
            with contextlib.suppress(OSError):  # it may have closed already
                connection.shutdown(socket.SHUT_WR)
                statuses.add(connection.recv(12)[9:12])
    assert {b"200", b"400", b"404"} <= statuses
    assert not {status for status in statuses if status.startswith(b"5") and status not in (b"501", b"505")}
    assert client.json("/api/runs")[0] == 200
    assert "Traceback" not in capfd.readouterr().err
