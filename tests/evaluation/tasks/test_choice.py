"""Choosing: accuracies by hand, ties, labels, and what cannot be chosen from."""

import json
import math

import pytest

from prospero.data.records import RecordsConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.choice import ChoiceConfig, credit
from tests.evaluation.tasks.fakes import END, bits, subject

TABLE = {"?": {"a": 0.5, "b": 0.125}, "b": {"b": 1.0}, END: {"a": 0.5, "b": 0.25}}


@pytest.fixture
def task(tmp_path):
    def task(rows, **settings):
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        settings = {"template": "{q}?"} | settings
        return ChoiceConfig(data=RecordsConfig(path=str(path)), **settings).build("mine", TaskFacts())

    return task


def test_accuracies_and_bits_by_hand(task):
    rows = [
        {"q": "x", "choices": ["a", "bb"], "answer": 0},  # a: 1/2, 1 byte; bb: 1/8, 2 bytes, 1/sqrt(8) each
        {"q": "y", "choices": ["bb", "a"], "answer": 0},
        {"q": "z", "choices": ["bbbb", "a"], "answer": "bbbb"},  # 1/8 ** 1/4 = 0.59 each
    ]
    measured = task(rows)(subject(TABLE))
    assert measured.values() == pytest.approx(
        {"mine/accuracy": 1 / 3, "mine/accuracy_per_byte": 2 / 3, "mine/bits_per_byte": bits(1 / 2, 1 / 8, 1 / 8) / 7}
    )
    assert measured.facts["chance"] == 0.5
    first = measured.outcomes[0]
    assert first.statistics["accuracy"] == [1.0, 1.0]
    assert first.record["log_likelihoods"] == pytest.approx([math.log(1 / 2), math.log(1 / 8)])
    assert (first.record["prompt"], first.record["prediction"], first.record["references"]) == ("x?", "a", ["a"])
    json.dumps([measured.facts, first.record])


def test_equally_good_ones_share_the_credit(task):
    rows = [{"q": "x", "choices": ["a", "a", "bb"], "answer": 1}, {"q": "x", "choices": ["c", "d", "e"], "answer": 2}]
    assert task(rows)(subject(TABLE)).value("accuracy") == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert [credit(scores, 0) for scores in ([-1, -2], [-2, -1], [-1, -1], [-math.inf] * 4)] == [1, 0, 0.5, 0.25]
    assert credit([math.nan, math.nan], 0) == 0 and credit([math.nan, -1.0], 1) == 1


def test_labels_fields_of_their_own_and_no_context(task):
    rows = [{"q": "x", "choices": {"text": ["bb", "a"], "label": ["A", "B"]}, "key": "B"}]
    labelled = task(rows, choices=["choices.text"], labels="choices.label", answer="key")
    assert labelled(subject(TABLE)).value("accuracy") == 1.0
    pair = task([{"good": "a", "bad": "b"}], template="", choices=["good", "bad"], answer=None)
    outcome = pair(subject(TABLE)).outcomes[0]
    assert outcome.record["log_likelihoods"] == pytest.approx([math.log(0.5), math.log(0.25)])


def test_separator_and_replacements(task):
    rows = [{"q": " x[title] y  ", "choices": ["a [b]c", " d"], "answer": "1"}]
    made = task(rows, template="{q}", separator=" ", replace={r"\[title\]": ".", r"\[.*?\]": ""})
    (item,) = made.items
    assert (item.context, item.choices, item.answer) == ("x. y", ["a c", "d"], 1)
    assert made(subject({"y": {" ": 1.0}, " ": {"d": 0.5}})).value("bits_per_byte") == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"q": "x", "choices": ["a"], "answer": 0}, {}, "has 1 candidate"),
        ({"q": "x", "choices": ["a", ""], "answer": 0}, {}, "candidate 1 is empty"),
        ({"q": "x", "choices": ["a", "b"], "answer": 2}, {}, "says '2', which is none of 0, 1"),
        ({"q": "x", "choices": ["a", "b"], "answer": 0}, {"labels": "q", "answer": "choices"}, "holds a list"),
        ({"q": "x", "options": ["a", "b"], "answer": 0}, {}, "no field 'choices'; fields found: q, options, answer"),
    ],
)
def test_what_cannot_be_chosen_from_is_one_line(task, row, settings, message):
    with pytest.raises(DataError) as caught:
        task([row], **settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="names no field"):
        ChoiceConfig(choices=[])
    with pytest.raises(ConfigError, match="no regular expression"):
        ChoiceConfig(replace={"[": ""})
