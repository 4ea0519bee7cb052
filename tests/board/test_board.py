"""The board's answers: what has changed and no more, every damaged folder named, nothing outside the outputs read."""

import json
import os
import time

import pytest

from prospero.board.board import Board, Unknown
from prospero.processes.run_lock import RunLock
from prospero.runs.folder import RunFolder
from tests.board.fakes import (
    DAMAGES,
    HOSTILE,
    NOT_UTF8,
    config,
    csv_of,
    finished,
    make_run,
    make_sweep,
    rows,
)


def look(board, since=""):
    board.refresh(at_once=True)
    answer = board.runs(since)
    json.dumps(answer, allow_nan=False).encode()
    return answer


def by_name(answer):
    return {run["name"]: run for run in answer["runs"]}


def setting(answer, run, name):
    if name in run["settings"]:
        return run["settings"][name]
    return None if name in run["without"] else answer["common"].get(name)


def test_a_run_is_what_its_files_say(tmp_path):
    make_run(tmp_path, "train/a", settings=config(lr=0.003, seed=7), result=finished(2.5))
    answer = look(Board(tmp_path))
    run = by_name(answer)["a"]
    assert (run["state"], run["step"], run["tokens"], run["seed"]) == ("finished", 50, 5000, 7)
    assert run["values"] == {"train/loss": 3.6, "val/loss": 2.5}
    assert (run["objective"], run["flops_per_token"], run["ended_by"]) == ("val/loss", 10.0, "max_steps")
    found = {name: setting(answer, run, name) for name in ("optimizer.lr", "model", "model.d_model", "logger")}
    assert found == {"optimizer.lr": 0.003, "model": "transformer", "model.d_model": 64, "logger": "{}"}


def test_only_what_has_changed_is_told_again(tmp_path):
    for name in ("a", "b", "c"):
        make_run(tmp_path, f"train/{name}", result=finished())
    board = Board(tmp_path)
    first = look(board)
    assert first["whole"] and len(first["runs"]) == 3
    quiet = look(board, first["version"])
    assert (quiet["runs"], quiet["gone"], quiet["whole"], quiet["version"]) == ([], [], False, first["version"])
    with open(tmp_path / "train/b/metrics.csv", "a") as file:
        file.write("60,6000,1.25\n")
    then = look(board, first["version"])
    assert [(run["name"], run["step"], run["values"]["train/loss"]) for run in then["runs"]] == [("b", 60, 1.25)]
    (tmp_path / "train/c").rename(tmp_path / "train/d")
    last = look(board, then["version"])
    assert ([run["name"] for run in last["runs"]], last["gone"]) == (["d"], ["train/c"])
    mark = board.started
    for since in ("of another board-1", f"{mark}-\u00b2", f"{mark}-{'9' * 5000}", f"{mark}-"):
        assert len(look(board, since)["runs"]) == 3
    assert len(look(Board(tmp_path), last["version"])["runs"]) == 3


def test_settings_are_told_once_and_where_they_differ(tmp_path):
    for seed in (1, 2, 3):
        make_run(tmp_path, f"train/{seed}", settings=config(seed=seed))
    make_run(tmp_path, "train/other", settings="seed: 1\nextra: true\n")
    answer = look(Board(tmp_path))
    assert answer["common"]["optimizer.lr"] == 0.01
    own = {name: run["settings"] for name, run in by_name(answer).items()}
    assert [own[name] for name in ("1", "2", "3")].count({}) >= 1
    assert own["other"] == {"extra": True} | ({"seed": 1} if answer["common"].get("seed") != 1 else {})
    assert set(by_name(answer)["other"]["without"]) == set(answer["common"]) - {"seed"}


def test_one_is_not_true_and_no_number_is_a_text(tmp_path):
    for name, value in (("a", "1"), ("b", "true"), ("c", "'1'"), ("d", "1.0"), ("e", "1")):
        make_run(tmp_path, f"train/{name}", settings=f"x: {value}\n")
    answer = look(Board(tmp_path))
    found = {name: setting(answer, run, "x") for name, run in by_name(answer).items()}
    assert [(type(found[name]), found[name]) for name in "abcd"] == [(int, 1), (bool, True), (str, "1"), (float, 1.0)]


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path):
    for name, given in {"a": {"seed": 1}, "b": {"seed": 2}, "c": {"seed": 1, "lr": 0.5}}.items():
        make_run(tmp_path, f"train/{name}", settings=config(**given) + f"name: {name}\n")
    make_run(tmp_path, "sweeps/s/0", settings=config(seed=1))
    make_sweep(tmp_path, "t", [{"seed": "1"}])
    group = {name: run["group"] for name, run in by_name(look(Board(tmp_path))).items()}
    assert group["a"] == group["b"]
    assert len({group["a"], group["c"], group["s/0"]}) == 3


@pytest.mark.parametrize("way", DAMAGES)
def test_a_damaged_run_is_named_and_harms_nobody(tmp_path, way):
    make_run(tmp_path, "train/good", result=finished())
    folder = make_run(tmp_path, f"train/{way}", result=finished())
    DAMAGES[way](folder)
    board = Board(tmp_path)
    runs = by_name(look(board))
    assert runs["good"]["state"] == "finished"
    assert runs[way]["state"] == "damaged"
    assert runs[way]["notes"], "it is said what is damaged"
    key = runs[way]["key"]
    board.curves("train/loss", [(key, "")], 100)
    board.detail(key)
    assert folder.is_dir()


def test_a_run_that_is_mended_is_no_longer_damaged(tmp_path):
    folder = make_run(tmp_path, "train/a", settings="[", result=finished())
    board = Board(tmp_path)
    assert by_name(look(board))["a"]["state"] == "damaged"
    (folder / "config.yaml").write_text(config())
    assert by_name(look(board))["a"]["state"] == "finished"


@pytest.mark.parametrize(
    "name", [HOSTILE, "two words", 'a "quoted" one', "100%", "a#b?c&d=e", NOT_UTF8, "ä∂😀", "a\nb"]
)
def test_any_name_is_a_name(tmp_path, name):
    folder = make_run(tmp_path, "train/plain", result=finished())
    folder.rename(folder.with_name(name.replace("/", "")))
    board = Board(tmp_path)
    (run,) = look(board)["runs"]
    assert run["key"].isascii()
    assert "\n" not in run["name"]
    run["name"].encode()
    assert board.curves("train/loss", [(run["key"], "")], 100)[run["key"]]["curve"]["y"] == [4.0, 3.9, 3.8, 3.7, 3.6]


def test_curves_are_sent_again_when_they_have_grown(tmp_path):
    make_run(tmp_path, "train/a")
    board = Board(tmp_path)
    look(board)
    first = board.curves("train/loss", [("train/a", "")], 100)["train/a"]
    assert first["curve"] == {"x": [10, 20, 30, 40, 50], "y": [4.0, 3.9, 3.8, 3.7, 3.6]}
    assert first["axes"]["tokens"] == [[10, 20, 30, 40, 50], [1000.0, 2000.0, 3000.0, 4000.0, 5000.0]]
    assert board.curves("train/loss", [("train/a", first["tag"])], 100) == {"train/a": {"tag": first["tag"]}}
    with open(tmp_path / "train/a/metrics.csv", "a") as file:
        file.write("60,6000,1.25\n")
    again = board.curves("train/loss", [("train/a", first["tag"])], 100)["train/a"]
    assert again["curve"]["y"][-1] == 1.25
    assert board.curves("no/such", [("train/a", "")], 100)["train/a"]["curve"] == {"x": [], "y": []}
    assert board.curves("train/loss", [("train/b", "")], 100)["train/b"]["curve"] == {"x": [], "y": []}


def test_what_leads_outside_of_the_outputs_is_not_read(tmp_path):
    outside, outputs = tmp_path / "outside", tmp_path / "outputs"
    make_run(outside, "run", settings=config(seed=99))
    inside = make_run(outputs, "train/inside")
    (outputs / "train/linked").symlink_to(outside / "run")
    for name in ("config.yaml", "metrics.csv", "log.txt"):
        (inside / name).unlink()
        (inside / name).symlink_to(outside / "run" / name)
    board = Board(outputs)
    answer = look(board)
    assert [run["name"] for run in answer["runs"]] == ["inside"]
    assert answer["notes"] == ["train/linked is a link that leads outside of the outputs; it is not read"]
    assert (answer["runs"][0]["step"], answer["runs"][0]["settings"]) == (None, {})
    assert board.curves("train/loss", [("train/inside", "")], 100)["train/inside"]["curve"]["x"] == []
    detail = board.detail("train/inside")
    assert (detail["log"], detail["files"]) == ([], [])


def test_links_within_the_outputs_are_followed(tmp_path):
    make_run(tmp_path, "sweeps/s/0", result=finished())
    (tmp_path / "train").mkdir()
    (tmp_path / "train/linked").symlink_to(tmp_path / "sweeps/s/0")
    assert {run["name"] for run in look(Board(tmp_path))["runs"]} == {"linked", "s/0"}


def test_secrets_in_settings_are_not_shown(tmp_path):
    make_run(tmp_path, "train/a", settings="hub:\n  access_token: abc123\n  size: 3\n")
    answer = look(Board(tmp_path))
    assert setting(answer, answer["runs"][0], "hub.access_token") == "<redacted>"
    assert "abc123" not in json.dumps(answer)


def test_the_jobs_of_a_sweep_are_told(tmp_path):
    jobs = [{"model": "tiny", "seed": str(seed), "x": "1"} for seed in (1, 2)]
    make_sweep(tmp_path, "2026", jobs)
    make_run(tmp_path, "sweeps/2026/0", result=finished())
    (sweep,) = look(Board(tmp_path))["sweeps"]
    assert (sweep["varied"], sweep["state"]) == (["seed"], "finished")
    assert [(job["run"], job["status"], job["settings"]["model"]) for job in sweep["jobs"]] == [
        ("sweeps/2026/0", "done", "tiny"), ("sweeps/2026/1", "done", "tiny"),
    ]  # fmt: skip


SWEEPS = ["", "[]", "{}", '{"format": 1}', '{"format": 1, "jobs": 3}', '{"format": 1, "jobs": [{}]}']
SWEEPS += ['{"format": 1, "jobs": [{"number": 0, "status": "odd", "overrides": []}]}']


@pytest.mark.parametrize("text", SWEEPS)
def test_a_damaged_sweep_is_named_and_harms_nobody(tmp_path, text):
    make_run(tmp_path, "sweeps/s/0", result=finished())
    (tmp_path / "sweeps/s/sweep.json").write_text(text)
    answer = look(Board(tmp_path))
    assert (answer["sweeps"][0]["note"], answer["sweeps"][0]["jobs"]) == ("sweep.json cannot be read", [])
    assert answer["runs"][0]["state"] == "finished"


def test_texts_are_sections_by_step(tmp_path):
    folder = make_run(tmp_path, "train/a")
    text = "## step 10, 1,000 tokens, prompt 'x'\n\n````text\nfirst\n````\n\n## step 20, 2,000 tokens, prompt '## y'\n"
    (folder / "samples.md").write_text(text + "\n````text\n<b>\x1b[31mred</b>\n## no heading\n````\n")
    board = Board(tmp_path)
    look(board)
    assert board.detail("train/a")["texts"]["samples"] == [
        {"step": 10, "title": "prompt 'x'", "text": "first"},
        {"step": 20, "title": "prompt '## y'", "text": "<b>\\x1b[31mred</b>\n## no heading"},
    ]
    with pytest.raises(Unknown):
        board.detail("train/b")


def test_stop_writes_the_file_that_the_training_looks_for(tmp_path):
    folder = make_run(tmp_path, "train/a")
    board = Board(tmp_path)
    look(board)
    assert board.stop("train/a") == "the run does not run"
    with RunLock(folder).take():
        look(board)
        assert board.stop("train/a") == ""
        assert RunFolder(folder).stop.exists()
        assert board.runs()["runs"][0]["notes"] == ["asked to stop"]
        assert board.stop("train/a") == "the run has been asked already"


def test_two_pages_share_one_look_at_the_files(tmp_path):
    make_run(tmp_path, "train/a")
    board = Board(tmp_path)
    board.refresh()
    make_run(tmp_path, "train/b")
    board.refresh()
    assert len(board.views) == 1


def test_memory_has_a_bound(tmp_path, monkeypatch):
    for number in range(4):
        make_run(tmp_path, f"train/{number}", metrics=csv_of(rows(100)))
    monkeypatch.setattr("prospero.board.board.MOST_MEMORY_BYTES", 2 * 3 * 8 * 100)
    board = Board(tmp_path)
    look(board)
    board.curves("train/loss", [(f"train/{number}", "") for number in range(4)], 100)
    assert sum(reader.size_bytes for reader, _ in board._readers.values()) <= 2 * 3 * 8 * 100


def test_a_run_that_begins_is_seen_before_it_has_any_file(tmp_path):
    (tmp_path / "train/a").mkdir(parents=True)
    with RunLock(tmp_path / "train/a").take():
        (run,) = look(Board(tmp_path))["runs"]
        assert (run["state"], run["step"]) == ("running", None)


def test_the_budget_in_the_log_tells_the_operations_of_a_run_that_runs(tmp_path):
    folder = make_run(tmp_path, "train/a")
    (folder / "log.txt").write_text("INFO budget: 1,000 tokens (0.44 epochs), 1.50e+07 FLOPs, about 7m08s\n")
    assert look(Board(tmp_path))["runs"][0]["flops_per_token"] == 15000.0
    assert os.path.getmtime(folder / "log.txt") <= time.time()
