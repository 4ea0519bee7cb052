"""All rules together: the order of what they find, what they cannot judge, and the lines at the end of a run."""

import re
from pathlib import Path

from prospero.runs.doctor import examination
from prospero.runs.doctor.examination import RULES, examine
from prospero.runs.doctor.finding import Severity, shown
from prospero.runs.doctor.record import Stage
from tests.runs.doctor.records import course, probe, record

DOCS = Path(__file__).parents[3] / "docs" / "DOCTOR.md"


def test_nothing_is_found_of_a_healthy_run():
    found = examine(record(probe=probe(), parameters=10**6))
    assert found.findings == []
    assert set(found.not_judged) == {"sharp", "repeating_samples"} and found.judged == len(RULES) - 2


def test_the_worst_comes_first_and_causes_before_what_they_bring_about():
    series = {
        "train/data_wait_ratio": course(0.2),  # a warning
        "train/update_ratio": course(2.0),  # a problem, the first of the rules
        "val/loss": [(50, 3.0), (100, 2.0), (200, 4.0)],  # a problem
    }
    receipt = {"splits": {"train": {"tokens": 40_000}}}  # a note
    found = examine(record(series=series, receipt=receipt, probe=probe()))
    assert [finding.rule for finding in found.findings] == ["rate_too_high", "overfit", "data_bound", "repeated_text"]


def test_every_rule_is_told_by_its_own_name_and_stands_in_the_docs():
    text = DOCS.read_text(encoding="utf-8")
    for rule in RULES:
        assert f"`{rule.__name__}`" in text, rule.__name__


def test_a_run_killed_at_its_third_step_gets_an_answer():
    series = {name: curve[:0] for name, curve in record().series.items()}
    series["train/loss"] = [(1, 5.0), (2, 5.0), (3, 4.9)]
    found = examine(record(series=series, stage=Stage.broken_off, receipt={}))
    assert found.findings == [] and "3 steps are too few (20)" in found.not_judged["rate_too_low"]
    assert found.not_judged["overfit"] == "nothing was validated"


def test_plain_values_for_the_file():
    found = examine(record(series={"train/data_wait_ratio": course(0.6)})).plain()
    assert found["findings"][0]["rule"] == "data_bound" and found["findings"][0]["severity"] == "problem"
    assert found["stage"] == "ended" and found["steps"] == 200 and found["checkpoint"] is None
    assert re.search("arXiv", found["findings"][0]["source"])


def test_three_lines_at_the_end_of_a_run(monkeypatch):
    runs = {}
    monkeypatch.setattr(examination, "read_record", lambda path, stage: runs["one"])
    runs["one"] = record()
    (line,) = examination.brief(Path("outputs/train/one"))
    assert line.startswith("doctor: nothing was found by") and "prospero doctor run=outputs/train/one" in line
    series = {
        "train/update_ratio": course(2.0), "train/data_wait_ratio": course(0.6), "val/loss": [(100, 2.0), (200, 4.0)],
        "train/loss_max": course(50.0),
    }  # fmt: skip
    runs["one"] = record(series=series)
    lines = examination.brief(Path("one"))
    assert [line.split(":")[2].strip() for line in lines] == [
        "the learning rate is too high", "overfit since step 100", "training waits for its data"
    ]  # fmt: skip


def test_files_that_cannot_be_read_do_not_fail_the_run(tmp_path):
    assert examination.brief(tmp_path) == [
        f"doctor: {tmp_path} is no run: it has no config.yaml; give the folder or the name of a run"
    ]


def test_numbers_as_they_are_printed():
    assert [shown(value) for value in (0.012345, 99.96, 1234567.0, 0.0)] == ["0.0123", "100", "1,234,567", "0"]
    assert Severity.problem.value > Severity.warning.value > Severity.note.value
