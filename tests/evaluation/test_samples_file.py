"""samples.jsonl: numbers come back bit for bit, a cut line is left out, what is not ours is refused."""

import json
import math

import pytest

from prospero.errors import ConfigError, DataError
from prospero.evaluation.measurement import Outcome
from prospero.evaluation.samples_file import (
    SamplesWriter,
    bring_together,
    check_made_with,
    line_of,
    read_samples,
)
from prospero.runs.folder import EvaluationFolder
from tests.evaluation.fakes import Halves

TASK = Halves()


@pytest.fixture
def folder(tmp_path):
    return EvaluationFolder(tmp_path)


def lines(*items, made_with="mark"):
    return [line_of(TASK, outcome, made_with) for outcome in TASK.outcomes(None, items)]


def write(path, *texts):
    writer = SamplesWriter(path)
    for text in texts:
        writer.append(text)
    writer.close()


def test_a_line_holds_the_item_its_scores_and_its_statistics(folder):
    write(folder.samples, lines(3))
    assert json.loads(folder.samples.read_text()) == {
        "task": "halves",
        "item": 3,
        "scores": {"half": 1.5, "whole": 3.0},
        "record": {"prompt": "<b>3</b>", "é": ["x", "y"]},
        "statistics": {"half": [1.5, 1], "whole": [1.5, 1]},
        "made_with": "mark",
    }


def test_numbers_come_back_bit_for_bit(folder):
    rows = {"half": (0.1 + 0.2, 1 / 3), "whole": (math.inf, 1e300 * 7)}
    write(folder.samples, [line_of(TASK, Outcome(0, rows), "m")])
    found = read_samples(folder)[0].outcome.statistics
    assert found == {name: list(row) for name, row in rows.items()}
    assert json.loads(folder.samples.read_text())["scores"]["whole"] is None


def test_a_line_that_was_cut_off_is_left_out(folder):
    write(folder.samples, lines(0, 1))
    whole = folder.samples.read_bytes()
    for cut in (1, 5, 40, len(whole) - 1):
        folder.samples.write_bytes(whole[:cut])
        assert [line.outcome.item for line in read_samples(folder)] == ([1] if b"\n" in whole[:cut] else [])


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"my notes\n", DataError, "line 1 is damaged, or no sample of an evaluation; choose another out="),
        (b'{"task": "a"}\n', DataError, "line 1 is damaged"),
        (b"my notes", ConfigError, "ends with a line that was not written here; choose another out="),
        (b'{"task": "a", "item": 1, "statistics": 7, "record": {}, "made_with": ""}\n', DataError, "line 1 is damaged"),
    ],
)
def test_what_is_no_sample_is_refused_and_left_alone(folder, content, error, said):
    folder.samples.write_bytes(content)
    with pytest.raises(error, match=said):
        read_samples(folder)
    assert folder.samples.read_bytes() == content


def test_the_lines_of_all_processes_come_together_in_order(folder):
    write(folder.samples, lines(4, 0), lines(8))
    write(folder.share(1), lines(2), lines(6, 8))
    write(folder.share(2), [line_of(Halves("early"), outcome, "m") for outcome in TASK.outcomes(None, [1])])
    found = read_samples(folder)
    bring_together(folder, found, ["early", "halves"])
    assert not folder.shares()
    again = read_samples(folder)
    assert [(line.task, line.outcome.item) for line in again] == [
        ("early", 1),
        *(("halves", item) for item in (0, 2, 4, 6, 8)),
    ]
    assert [line.text for line in again][1:] == [lines(item)[0] for item in (0, 2, 4, 6, 8)]


def test_samples_of_another_model_are_refused(folder):
    write(folder.samples, lines(0, 9))
    found = read_samples(folder)
    check_made_with(found, {"halves": "mark"}, {"halves": 10}, folder.path)
    check_made_with(found, {"other": "x"}, {"other": 1}, folder.path)
    for made_with, size in (("other", 10), ("mark", 9)):
        with pytest.raises(ConfigError, match="holds samples of halves that were made by another model or with other"):
            check_made_with(found, {"halves": made_with}, {"halves": size}, folder.path)
