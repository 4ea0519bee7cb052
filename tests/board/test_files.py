"""Which files of a run may be opened: known kinds in known folders, nothing outside of the run."""

import os

import pytest

from prospero.board.files import files_of, open_file
from tests.board.fakes import make_run


@pytest.fixture
def folder(tmp_path):
    run = make_run(tmp_path, "outputs/train/run")
    (tmp_path / "secret.txt").write_text("secret")
    for name in ("report.html", "evaluations/e 1/report.html", "analyses/a/x.png", "dynamics/dynamics.html"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("page")
    for name in ("model/config.json", "checkpoints/step/state.json", ".hidden.txt", "evaluations/e 1/.lock", "a.exe"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("not shown")
    (run / "link.txt").symlink_to(tmp_path / "secret.txt")
    (run / "analyses/out").symlink_to(tmp_path)
    return run


def test_what_may_be_opened_is_listed_pages_first(folder):
    found = [(one["kind"], one["name"], one["path"]) for one in files_of(folder)]
    assert found == [
        ("run", "report.html", "report.html"),
        ("run", "config.yaml", "config.yaml"),
        ("run", "log.txt", "log.txt"),
        ("run", "metrics.csv", "metrics.csv"),
        ("analysis", "a/x.png", "analyses/a/x.png"),
        ("dynamics", "dynamics.html", "dynamics/dynamics.html"),
        ("evaluation", "e 1/report.html", "evaluations/e%201/report.html"),
    ]
    for one in files_of(folder):
        opened = open_file(folder, one["path"])
        assert opened is not None
        opened[0].close()


OTHERS = """
.|..|/|../secret.txt|..%2f..%2fsecret.txt|%2e%2e/secret.txt|a/../../secret.txt|//secret.txt|/etc/passwd|link.txt
analyses/out/secret.txt|analyses/../config.yaml|analyses/a/../../config.yaml|model/config.json|.hidden.txt|a.exe
checkpoints/step/state.json|evaluations/e 1/.lock|analyses|config.yaml/|config.yaml%00.txt|nothing.txt|dynamics/a/b.html
..\\secret.txt|evaluations/report.html
"""


@pytest.mark.parametrize("path", ["", *OTHERS.replace("\n", "|").strip("|").split("|")])
def test_nothing_else_is_opened(folder, path):
    assert open_file(folder, path) is None


def test_neither_a_pipe_nor_a_folder_is_opened(folder):
    os.mkfifo(folder / "pipe.txt")
    (folder / "folder.txt").mkdir()
    assert open_file(folder, "pipe.txt") is None
    assert open_file(folder, "folder.txt") is None
    assert not {"pipe.txt", "folder.txt"} & {one["name"] for one in files_of(folder)}


def test_kinds_are_fixed(folder):
    (folder / "evil.md").write_text("<script>")
    for path, kind in (("report.html", "text/html"), ("evil.md", "text/plain"), ("analyses/a/x.png", "image/png")):
        file, found, _ = open_file(folder, path) or pytest.fail(path)
        file.close()
        assert found.partition(";")[0] == kind
