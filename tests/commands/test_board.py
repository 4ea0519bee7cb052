"""`prospero board`: it writes a folder of pages, and refuses what cannot be in one line."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from tests.board.fakes import finished, make_run

from prospero.commands.board import BoardConfig, board
from prospero.errors import ConfigError


def test_a_folder_of_pages_is_written(tmp_path):
    make_run(tmp_path / "outputs", "train/a", result=finished())
    assert board(BoardConfig(outputs_dir=str(tmp_path / "outputs"), out=str(tmp_path / "site"))) == 0
    assert (tmp_path / "site/index.html").is_file()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"outputs_dir": "no/such"}, "outputs_dir=no/such is no folder"),
        ({"outputs_dir": " "}, "outputs_dir= is empty"),
        ({"port": 70000}, "port=70000 is no port"),
        ({"refresh_seconds": 0.0}, "refresh_seconds=0"),
        ({"points": 3}, "points=3"),
        ({"out": "site", "stop_button": True}, "leave one of them out"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        board(BoardConfig(**given))
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port={port} cannot be used"):
            board(BoardConfig(outputs_dir=str(tmp_path), port=port))


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_reached_until_it_is_ended(tmp_path, number):
    make_run(tmp_path, "train/a", result=finished())
    words = [sys.executable, "-m", "prospero", "board", f"outputs_dir={tmp_path}", "port=0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        line = program.stderr.readline()
        address = re.search(r"http://\S+", line)
        assert address is not None, line
        with urllib.request.urlopen(f"{address[0]}api/runs", timeout=20) as answer:
            assert json.load(answer)["runs"][0]["name"] == "a"
        program.send_signal(number)
        assert program.wait(timeout=20) == 0
        assert program.stderr.read() == "the board is closed\n"
