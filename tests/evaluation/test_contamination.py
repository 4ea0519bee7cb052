"""The check that `evaluate` makes by itself: verdicts, their line, and what an item says."""

import pytest

from prospero.data.prepare import prepare
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.contamination import as_facts, contamination, line_of
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.choice import ChoiceConfig
from tests.data.shard_making import sentences, settings, write_corpus

PLANTED = "This sentence stands in the training text and in the evaluation set."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    path = write_corpus(folder, [*sentences(100), *(f"{PLANTED} {n}" for n in range(5))])
    return prepare(settings(path, folder, tokenizer=ByteTokenizerConfig()), progress=False)


def test_planted_items_are_named_and_others_are_not(data):
    half = "Nobody has ever written these words down, for they are quite new; " + PLANTED[:55]
    texts = {3: PLANTED, 4: half, 8: "And these neither; they have just been thought of, a moment ago.", 9: "short"}
    found = contamination(texts, data)
    assert (found.judged, found.touched, found.contained) == (3, [3, 4], [3])
    facts = as_facts(found, data)
    assert facts["first_contained"] == [3] and facts["contained"] == 1 and facts["data"] == data.fingerprint
    assert facts["run_tokens"] > 48  # bytes are tokens here
    said = line_of("mine", facts)
    assert said is not None and said.startswith("mine: 1 of 3 items stand in the training text (80% of their tokens")
    assert line_of("mine", as_facts(contamination({1: half}, data), data)) is None


def test_an_item_says_its_question_and_its_answer():
    task = ChoiceConfig(limit=1).build("choice", TaskFacts())
    assert task.item_text({"prompt": "a ", "references": ["b", "c"]}) == "a b"
    assert task.item_text({"text": "whole"}) == "whole" and task.item_text({"prompt": "p"}) == "p"
    assert task.item_text({"prompt": "p", "facts": ["out of the training text"]}) == ""
