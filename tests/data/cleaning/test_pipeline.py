"""The pipeline keeps or drops with a reason, counts, shows examples, and can be joined over processes."""

import json

from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.lower_case import LowerCaseConfig
from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Drop
from prospero.data.document import Document


def pipeline() -> CleaningPipeline:
    steps = {"lower_case": LowerCaseConfig().build(), "length": LengthConfig(min_characters=4).build()}
    return CleaningPipeline(steps, examples_per_reason=2, example_characters=3)


def test_steps_run_in_order_and_counts_name_step_and_reason():
    clean = pipeline()
    assert clean(Document("ABCDE", "a", "s")) == Document("abcde", "a", "s")
    assert clean(Document("already", "b")) == Document("already", "b")
    for index in range(3):
        assert clean(Document("AB", f"short{index}")) == Drop("too few characters")
    assert clean(Document("      ", "blank")) == Drop("empty")
    report = clean.report()
    assert (report["seen"], report["kept"], report["changed"]) == (6, 2, {"lower_case": 4})
    assert report["dropped"] == [
        {"step": "end", "reason": "empty", "documents": 1, "examples": [{"id": "blank", "text": "   "}]},
        {
            "step": "length",
            "reason": "too few characters",
            "documents": 3,
            "examples": [{"id": "short0", "text": "ab"}, {"id": "short1", "text": "ab"}],
        },
    ]
    json.dumps(report)


def test_an_unchanged_document_is_the_same_object():
    document = Document("already clean", "a")
    assert pipeline()(document) is document


def test_no_steps_keep_everything_but_the_empty():
    clean = CleaningPipeline({})
    assert clean(Document("x\r\n", "a")) == Document("x\r\n", "a")
    assert clean(Document("", "b")) == Drop("empty")
