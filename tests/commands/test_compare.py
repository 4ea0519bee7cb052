"""`prospero compare`: what it says of runs and sweeps, what it writes, what it refuses."""

import csv
import json
import math
import re

import pytest
from tests.runs.comparison.fakes import fake_run, fake_sweep

from prospero.commands.compare import CompareConfig, compare
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import EvaluationFolder, RunFolder

GRID = [([f"model={model}", f"seed={seed}"], "DONE") for model in ("tiny", "lstm_tiny") for seed in (1, 2, 3)]
LOSSES = [2.00, 2.02, 2.01, 2.51, 2.52, 2.54]


def rows(folder) -> list[dict[str, str]]:
    with open(folder / "compare.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_sweep_has_its_verdict_its_page_and_its_table(tmp_path, capsys):
    sweep = fake_sweep(tmp_path / "sweeps" / "a", GRID, loss=LOSSES)
    assert compare(CompareConfig(sweep="last", outputs_dir=str(tmp_path))) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "settings that differ:" and said[2].split() == ["model", "transformer", "lstm"]
    assert said[-1] == "tiny beats lstm_tiny by 0.513 (95 % 0.475 to 0.551, p < 0.001)"
    assert said[-3].split() == ["tiny", "2.0100", "0.0248", "3"]
    first, second = rows(sweep)
    assert (first["group"], first["rank"], first["seeds"], first["values"]) == ("tiny", "1", "3", "2.0 2.02 2.01")
    assert second["test"] == "paired t" and second["verdict"] == said[-1] and second["model"] == "lstm"
    assert float(first["low"]) == pytest.approx(2.01 - 4.30265 * 0.01 / 3**0.5)
    assert (sweep / "compare.png").read_bytes()[:4] == b"\x89PNG"


def test_the_page_needs_no_network_and_escapes_what_runs_are_called(tmp_path):
    fake_run(tmp_path / "train" / "<script>alert(1)")
    fake_run(tmp_path / "train" / "b", width=32, loss=1.0)
    compare(CompareConfig(runs=["<script>alert(1)", "b"], outputs_dir=str(tmp_path)))
    page = (tmp_path / "compare" / "compare.html").read_text()
    assert "&lt;script&gt;" in page and "<script" not in page
    outside = set(re.findall(r'(?:src|href)="([^#"][^"]*)"', page))
    assert not outside and page.count("<svg") == 1


def test_runs_with_one_seed_each_have_no_verdict_over_seeds(tmp_path, capsys):
    folders = [fake_run(tmp_path / name, width=width, loss=width / 10) for name, width in (("a", 32), ("b", 64))]
    compare(CompareConfig(runs=list(map(str, folders)), out=str(tmp_path / "out"), outputs_dir=str(tmp_path)))
    assert "a and b: no verdict over seeds, both have one seed" in capsys.readouterr().out


def test_jobs_that_did_not_come_to_their_end_are_named_and_left_out(tmp_path, capsys):
    jobs = [*GRID[:2], (["model=tiny", "seed=3"], "FAILED"), *GRID[3:5], (["model=lstm_tiny", "seed=3"], "PRUNED")]
    fake_sweep(tmp_path / "sweeps" / "a", jobs, loss=LOSSES)
    compare(CompareConfig(sweep="a", outputs_dir=str(tmp_path)))
    said = capsys.readouterr().out
    assert said.endswith(
        "tiny beats lstm_tiny by 0.505 (95 % 0.441 to 0.569, p = 0.006)\n\n"
        "[2] tiny seed=3 is left out: it is FAILED\n[5] lstm_tiny seed=3 is left out: it is PRUNED\n"
    )


def test_what_is_judged_may_be_chosen_and_its_direction_is_known(tmp_path, capsys):
    fake_sweep(tmp_path / "sweeps" / "a", GRID, loss=LOSSES, accuracy=[0.5, 0.51, 0.52, 0.7, 0.72, 0.71])
    compare(CompareConfig(sweep="last", by=["val/accuracy"], outputs_dir=str(tmp_path)))
    said = capsys.readouterr().out
    assert "val/accuracy, higher is better" in said and "lstm_tiny beats tiny by 0.20" in said
    assert "val/loss" not in said


def test_budgets_are_judged_among_themselves(tmp_path, capsys):
    jobs = [([*words, f"max_steps={steps}"], "DONE") for steps in (10, 20) for words, _ in GRID]
    sweep = fake_sweep(tmp_path / "sweeps" / "a", jobs, loss=[*LOSSES, *(loss - 1 for loss in LOSSES)])
    compare(CompareConfig(sweep="last", outputs_dir=str(tmp_path)))
    said = capsys.readouterr().out
    assert said.count(" beats ") == 2 and "val/loss, lower is better, max_steps=20:" in said
    assert [row["budget"] for row in rows(sweep)] == ["max_steps=10"] * 2 + ["max_steps=20"] * 2


def test_the_loss_by_position_is_drawn_and_judged_only_when_asked(tmp_path, capsys):
    places = {"loss_by_position/0": LOSSES, "loss_by_position/1-3": LOSSES}
    sweep = fake_sweep(tmp_path / "sweeps" / "a", GRID, loss=LOSSES, **places)
    compare(CompareConfig(sweep="last", outputs_dir=str(tmp_path)))
    assert "loss_by_position" not in capsys.readouterr().out
    assert "Loss by position in the context" in (sweep / "compare.html").read_text()
    compare(CompareConfig(sweep="last", by=["val/loss_by_position/0"], outputs_dir=str(tmp_path)))
    assert "val/loss_by_position/0, lower is better" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "Give the runs to compare"),
        ({"runs": ["a"], "sweep": "last"}, "Give the runs to compare"),
        ({"sweep": " "}, "sweep= is empty"),
        ({"runs": ["a"]}, "takes two finished runs or more; found 1"),
        ({"runs": ["a", "a"]}, "takes two finished runs or more; found 1"),
        ({"runs": ["a", "twin"]}, "twin is left out: a has the same settings and the same seed"),
        ({"runs": ["a", "bb"]}, "There is no run 'bb'"),
        ({"runs": ["a", "b"], "by": ["val/los"]}, "'val/los' that all runs have. Did you mean 'val/loss'?"),
        ({"runs": ["a", "b"], "by": ["val/accuracy"]}, "'val/accuracy' that all runs have (a has none)"),
        ({"sweep": "lst"}, "There is no sweep 'lst'"),
        ({"sweep": "{tmp}/train/a"}, "is no sweep: it has no sweep.json"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_line_and_nothing_is_written(how, said, tmp_path):
    fake_run(tmp_path / "train" / "a")
    fake_run(tmp_path / "train" / "twin")
    fake_run(tmp_path / "train" / "b", width=32, accuracy=0.5)
    before = sorted(tmp_path.rglob("*"))
    how = {name: value.format(tmp=tmp_path) if isinstance(value, str) else value for name, value in how.items()}
    with pytest.raises(ConfigError) as refused:
        compare(CompareConfig(outputs_dir=str(tmp_path), **how))
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    fake_run(tmp_path / "train" / "a")
    with pytest.raises(DataError, match="is no run"):
        compare(CompareConfig(runs=["a", str(tmp_path)], outputs_dir=str(tmp_path)))


def evaluation(run, rows: dict[str, list[list[float]]], value: dict[str, float], higher: bool, facts="same"):
    """Write an evaluation of a run: quantity -> the statistics of each item, and its number over all."""
    folder = EvaluationFolder(RunFolder(run).evaluations / "choice-1a")
    folder.path.mkdir(parents=True)
    items = len(next(iter(rows.values())))
    lines = [
        {"task": "choice", "item": item, "scores": {}, "record": {}, "made_with": "x"}
        | {"statistics": {name: of_items[item] for name, of_items in rows.items()}}
        for item in range(items)
    ]
    folder.samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = {name: {"value": number, "higher_is_better": higher} for name, number in value.items()}
    task = {"values": values, "items": items, "facts": {"data": facts}}
    folder.results.write_text(json.dumps({"tasks": {"choice": task}}))


def test_one_seed_each_is_judged_by_the_items_of_an_evaluation_that_both_have(tmp_path, capsys):
    right = {"a": [1] * 30 + [0] * 10, "b": [1] * 12 + [0] * 28}
    for name, width in (("a", 32), ("b", 64)):
        run = fake_run(tmp_path / "train" / name, width=width)
        bits = [[80.0 + item * width / 32, 40.0] for item in range(40)]
        rows = {"accuracy": [[float(one), 1.0] for one in right[name]], "bits_per_byte": bits}
        number = sum(row[0] for row in bits) / 1600 / math.log(2)
        evaluation(run, rows, {"accuracy": sum(right[name]) / 40, "bits_per_byte": number}, higher=True)
    config = {"runs": ["a", "b"], "outputs_dir": str(tmp_path)}
    compare(CompareConfig(by=["choice/accuracy"], **config))
    said = capsys.readouterr().out
    assert "choice/accuracy, higher is better" in said
    assert re.search(r"a beats b by 0\.45 \(95 % 0\.\d+ to 0\.\d+, p < 0\.001\) over 40 samples; one seed each", said)
    compare(CompareConfig(by=["choice/bits_per_byte"], **config))
    assert re.search(r"b beats a by 0\.70\d* .* over 40 samples", capsys.readouterr().out), "nats over bytes over ln 2"


def test_other_items_are_not_compared(tmp_path, capsys):
    for name, width in (("a", 32), ("b", 64)):
        run = fake_run(tmp_path / "train" / name, width=width)
        evaluation(run, {"accuracy": [[1.0, 1.0], [0.0, 1.0]]}, {"accuracy": 0.5}, higher=True, facts=name)
    compare(CompareConfig(runs=["a", "b"], by=["choice/accuracy"], outputs_dir=str(tmp_path)))
    assert "no verdict over seeds, both have one seed" in capsys.readouterr().out


def test_a_damaged_evaluation_is_named(tmp_path):
    run = fake_run(tmp_path / "train" / "a")
    evaluation(run, {"accuracy": [[1.0, 1.0]]}, {"accuracy": 1.0}, higher=True)
    EvaluationFolder(RunFolder(run).evaluations / "choice-1a").results.write_text("[]")
    with pytest.raises(DataError, match="is damaged"):
        compare(CompareConfig(runs=["a", "a"], outputs_dir=str(tmp_path)))
