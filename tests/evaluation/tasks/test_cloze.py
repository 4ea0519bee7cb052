"""The last word: by hand whether it is written, and how likely it is."""

import json
import math

import pytest

from prospero.data.records import RecordsConfig
from prospero.errors import DataError
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.cloze import ClozeConfig
from tests.evaluation.tasks.fakes import END, bits, subject

TABLE = {"x": {" ": 1.0}, " ": {"a": 0.5, "b": 0.25}, "a": {"b": 0.5}, "b": {END: 1.0}, END: {"a": 0.5}}


@pytest.fixture
def task(tmp_path):
    def task(*texts, **settings):
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return ClozeConfig(data=RecordsConfig(path=str(path)), **settings).build("mine", TaskFacts())

    return task


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_accuracy_and_likelihood_by_hand(task, rows):
    made = task("the x ab", "the x b", "ab", "x\n x  ab \n")
    measured = made(subject(TABLE, rows=rows))
    assert made.items == [("the x", " ab"), ("the x", " b"), ("", "ab"), ("x\n x", "  ab")]
    assert [outcome.statistics["accuracy"][0] for outcome in measured.outcomes] == [1, 0, 1, 0]
    assert measured.outcomes[0].statistics["bits_per_byte"] == pytest.approx([bits(0.5, 0.5), 3])
    assert measured.outcomes[2].statistics["bits_per_byte"] == pytest.approx([bits(0.5, 0.5), 2])
    assert measured.outcomes[1].record == {"prompt": "the x", "prediction": " a", "references": [" b"]}
    nats = [math.log(4), math.log(4), math.log(4)]
    three = task("the x ab", "the x b", "ab")(subject(TABLE, rows=rows))
    assert three.value("accuracy") == pytest.approx(2 / 3)
    assert three.value("perplexity") == pytest.approx(math.exp(sum(nats) / 3))
    assert three.value("bits_per_byte") == pytest.approx(6 / 7)


def test_of_a_long_text_the_end_counts(task):
    measured = task("é " * 50_000 + "x ab")(subject(TABLE, window=8))
    assert measured.value("accuracy") == 1.0 and measured.value("perplexity") == pytest.approx(4)


def test_a_text_without_words_is_one_line(task):
    with pytest.raises(DataError, match="line 2: field 'text' is empty"):
        task("a b", " \n")
