"""The board as a folder: complete, written again over an earlier one, and never over anything else."""

import json
import re

import pytest

from prospero.board.board import Board
from prospero.board.static_site import write_site
from prospero.errors import ConfigError
from tests.board.fakes import damaged_runs, finished, make_run


def export(root, out, points=100):
    board = Board(root)
    board.refresh()
    return write_site(board, out, points)


def data(path):
    name, value = re.fullmatch(r'Data\.arrived\(("(?:[^"\\]|\\.)*"),(.*)\);\n', path.read_text()).groups()
    return json.loads(name), json.loads(value)


def test_all_is_there_that_the_page_asks_for(tmp_path):
    folder = make_run(tmp_path / "outputs", "train/a", result=finished())
    (folder / "report.html").write_text("<script>1</script>report")
    (folder / "evaluations/e/").mkdir(parents=True)
    (folder / "evaluations/e/report.html").write_text("evaluation")
    assert export(tmp_path / "outputs", tmp_path / "site") == []
    name, runs = data(tmp_path / "site/data/runs.js")
    assert (name, runs["whole"], runs["outputs"]) == ("runs", True, "outputs")
    (run,) = runs["runs"]
    name, found = data(tmp_path / f"site/data/{run['file']}.js")
    assert name == "run/train/a"
    assert found["curves"]["train/loss"]["y"] == [4.0, 3.9, 3.8, 3.7, 3.6]
    assert [file["name"] for file in found["detail"]["files"]] == ["report.html", "e/report.html"]
    for file in found["detail"]["files"]:
        text = (tmp_path / "site" / file["path"]).read_text()
        assert text.index("default-src 'none'") < text.index("rep" if "report" in text else "eval")
    index = (tmp_path / "site/index.html").read_text()
    assert 'data-mode="static"' in index and "Content-Security-Policy" in index
    for used in re.findall(r'(?:src|href)="(page/[^"]+)"', index):
        assert (tmp_path / "site" / used).is_file()


def test_damaged_runs_are_written_too(tmp_path):
    damaged_runs(tmp_path / "outputs")
    export(tmp_path / "outputs", tmp_path / "site")
    assert {run["state"] for run in data(tmp_path / "site/data/runs.js")[1]["runs"]} == {"damaged"}


def test_an_earlier_export_is_replaced_and_what_others_put_there_stays(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / "outputs", f"train/{name}")
    export(tmp_path / "outputs", tmp_path / "site")
    (tmp_path / "site/CNAME").write_text("mine")
    (tmp_path / "outputs/train/b").rename(tmp_path / "b")
    export(tmp_path / "outputs", tmp_path / "site")
    assert sorted(path.name for path in (tmp_path / "site/data").iterdir()) == ["run_00000.js", "runs.js"]
    assert (tmp_path / "site/CNAME").read_text() == "mine"


@pytest.mark.parametrize("what", ["a file of mine", "a list that is none", "a file"])
def test_another_folder_is_refused_and_left_alone(tmp_path, what):
    make_run(tmp_path / "outputs", "train/a")
    out = tmp_path / "site"
    if what == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("export.json" if "list" in what else "mine.txt")).write_text('{"files": [], "format": "x"}')
    before = sorted(out.iterdir()) if out.is_dir() else out.read_text()
    with pytest.raises(ConfigError, match="give an empty or a new folder"):
        export(tmp_path / "outputs", out)
    assert (sorted(out.iterdir()) if out.is_dir() else out.read_text()) == before


def test_a_list_that_names_files_elsewhere_removes_none(tmp_path):
    make_run(tmp_path / "outputs", "train/a")
    (tmp_path / "precious.js").write_text("mine")
    (tmp_path / "site").mkdir()
    names = ["../precious.js", "data/../../precious.js", "/etc/passwd", str(tmp_path / "precious.js")]
    (tmp_path / "site/export.json").write_text(json.dumps({"format": "prospero board 1", "files": names}))
    export(tmp_path / "outputs", tmp_path / "site")
    assert (tmp_path / "precious.js").read_text() == "mine"
