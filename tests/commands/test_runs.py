"""`prospero runs`: the table, its order, what is left out, and the JSON of it."""

import json
import math
import re

import pytest
from tests.runs.fakes import RESULT, make_run

from prospero.commands.runs import RunsConfig, runs, table
from prospero.errors import ConfigError
from prospero.runs.overview import read_rows


@pytest.fixture
def outputs(tmp_path):
    train = tmp_path / "train"
    make_run(train / "first", lr="0.02", begun=1000.0)
    make_run(train / "second", lr="0.01", model="lstm", begun=2000.0, result=RESULT | {"val/loss": 2.25, "steps": 1200})
    make_run(train / "third", lr="0.03", begun=3000.0, result=RESULT | {"val/loss": math.nan})
    make_run(train / "a 'b' <i>\x1b[31m", begun=4000.0, result=None)
    (train / "empty").mkdir()
    return tmp_path


def names(outputs, capsys, **settings):
    """The runs of the JSON, the odd one by its first letter."""
    assert runs(RunsConfig(outputs_dir=str(outputs), json=True, **settings)) == 0
    return [row["name"] if row["name"].isalpha() else row["name"][0] for row in json.loads(capsys.readouterr().out)]


def test_the_table(outputs):
    lines = table(read_rows(outputs)).splitlines()
    assert lines[0].split() == [
        "run",
        "state",
        "age",
        "model",
        "steps",
        "loss",
        "bits/byte",
        "time",
        "what",
        "is",
        "wrong",
    ]
    by_name = {re.split(r"\s\s+", line)[0]: re.split(r"\s\s+", line)[1:] for line in lines[1:]}
    cells = by_name["second"]
    assert cells[0] == "done" and cells[2:] == ["lstm 2.16M", "1,200", "2.25", "1.25", "2m"]
    assert by_name["empty"][-1] == "it has no config.yaml" and by_name["empty"][0] == "damaged"
    assert "a 'b' <i>\\x1b[31m" in by_name and "\x1b" not in table(read_rows(outputs))
    assert "\x1b[31m" in table(read_rows(outputs), colour=True)


def test_order(outputs, capsys):
    assert names(outputs, capsys)[1:] == ["a", "third", "second", "first"]
    assert names(outputs, capsys, sort="loss") == ["second", "first", "a", "empty", "third"]
    assert names(outputs, capsys, sort="-loss", limit=3) == ["a", "first", "second"]
    assert names(outputs, capsys, sort="optimizer.lr")[:4] == ["second", "a", "first", "third"]
    assert names(outputs, capsys, sort="-val/bits_per_byte", limit=1)[0] in ("first", "second", "third")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["model=lstm"], {"second"}),
        (["optimizer.lr>=0.02", "state=done"], {"first", "third"}),
        (["optimizer.lr=2e-2", "state!=done"], {"a"}),
        (["val/loss<2.4"], {"second"}),
        (["model!=trans*"], {"second", "empty"}),
        (["steps>1000"], {"second"}),
        (["tags=[[]a,b c]"], {"a", "first", "second", "third"}),
        (["age>1"], {"a", "first", "second", "third", "empty"}),
    ],
)
def test_conditions(where, expected, outputs, capsys):
    if where == ["age>1"]:
        import os

        os.utime(outputs / "train" / "empty", (0, 0))
    assert set(names(outputs, capsys, where=where)) == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"where": ["model.n_layr>1"]}, r"none of the 5 runs .* a 'model.n_layr'\. Did you mean 'model.n_layers'"),
        ({"sort": "bits_per_bite"}, "sort: none of the 5 runs in .* Did you mean 'bits_per_byte'"),
        ({"where": ["model"]}, "'model' is no condition; write where="),
        ({"where": ["model<lstm"]}, "compares with 'lstm', which is no number"),
        ({"limit": 0}, "limit=0 shows nothing"),
        ({"sort": "-"}, "sort= is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(settings, said, outputs):
    with pytest.raises(ConfigError, match=said):
        runs(RunsConfig(outputs_dir=str(outputs), **settings))


def test_a_file_is_no_folder_of_runs_and_no_runs_are_no_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="is a file; give the folder"):
        runs(RunsConfig(outputs_dir=str(tmp_path / "x")))
    with pytest.raises(ConfigError, match="does not exist; give the folder"):
        runs(RunsConfig(outputs_dir=str(tmp_path / "none")))
    monkeypatch.chdir(tmp_path)
    assert runs(RunsConfig(json=True)) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == [] and "There is no run in" in printed.err


def test_json_is_for_scripts(outputs, capsys):
    assert runs(RunsConfig(outputs_dir=str(outputs), json=True, where=["name=third"])) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["loss"] is None and row["numbers"]["val/loss"] is None and row["settings"]["optimizer.lr"] == 0.03
    assert row["folder"] == str(outputs / "train" / "third") and row["problem"] is None and row["begun"] == 3000.0
