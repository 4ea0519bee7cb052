"""report.html of an evaluation: which items are shown, and that nothing of them acts."""

import re

import numpy as np
import pytest

from prospero.evaluation.measurement import Outcome, Quantity
from prospero.evaluation.report import EXAMPLES, judged_by, write_evaluation_report
from prospero.evaluation.results import estimates
from prospero.runs.folder import EvaluationFolder
from tests.evaluation.fakes import NOBODY, Halves


def page(folder, task, **changes):
    measured = task(NOBODY)
    known = {"title": "a <model>", "subtitle": "here", "settings": {"a": {"b": "<script>"}}, "seed": 1} | changes
    place = EvaluationFolder(folder)
    write_evaluation_report(place, measured=[measured], found={measured.name: estimates(measured)}, **known)
    return place.report.read_text()


def items_of(text):
    """The numbers of the items in each column."""
    return [[int(n) for n in re.findall(r"item (\d+)", column)] for column in text.split("<h3>")[1:]]


def test_the_best_the_worst_and_some_at_random_stand_side_by_side(tmp_path):
    text = page(tmp_path, Halves(size=40))
    best, worst, some = items_of(text)
    assert best == [39, 38, 37, 36, 35] and worst == [0, 1, 2, 3, 4]
    assert len(set(some)) == EXAMPLES and some == items_of(page(tmp_path, Halves(size=40)))[2]
    assert some != items_of(page(tmp_path, Halves(size=40), seed=2))[2]
    assert "Best by half" in text and "halves/half" in text and "9.7500" in text


def test_of_few_items_all_are_shown(tmp_path):
    assert items_of(page(tmp_path, Halves(size=2))) == [[1, 0], [0, 1], [0, 1]]


class Lower(Halves):
    @property
    def quantities(self):
        return [Quantity(name="half", higher_is_better=False), Quantity(name="whole")]


def test_where_lower_is_better_the_least_is_the_best(tmp_path):
    assert items_of(page(tmp_path, Lower(size=20)))[0] == [0, 1, 2, 3, 4]


class Hostile(Halves):
    name = "<img src=x>"

    def outcomes(self, subject, items):
        for outcome in super().outcomes(subject, items):
            text = "</pre><script>alert(1)</script>" + "x" * 5000
            yield Outcome(
                outcome.item, outcome.statistics, {"<i>": text, "l": ["<b>"], "n": {"<u>": 1}, "none": [], "empty": ""}
            )


def test_text_is_shown_as_text_and_cut(tmp_path):
    task = Hostile("<img src=x>", 3)
    text = page(tmp_path, task)
    for bad in ("<script>", "<img", "<i>", "<u>", "<model>"):
        assert bad not in text
    assert "&lt;script&gt;alert(1)" in text and " … (3,531 characters more)" in text and "x" * 1600 not in text
    assert "<dt>none" not in text and "<dt>empty</dt><dd><p class=quiet>(nothing)" in text


@pytest.mark.parametrize(
    ("scores", "name"),
    [
        ({"a": [1.0, 1.0], "b": [0.0, 1.0]}, "b"),
        ({"a": [np.nan, 1.0], "b": [0.0, 0.0]}, "a"),
        ({"a": [np.nan, np.nan]}, None),
        ({"a": [np.nan, 1.0], "b": [2.0, 1.0]}, "b"),
    ],
)
def test_items_are_judged_by_the_first_number_that_tells_them_apart(scores, name):
    assert judged_by({key: np.array(row) for key, row in scores.items()}) == name
