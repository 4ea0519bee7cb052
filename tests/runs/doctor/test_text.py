"""Text for the size, text read over and over, padding."""

import pytest

from prospero.runs.doctor.finding import CannotJudge, Severity
from prospero.runs.doctor.record import Stage
from prospero.runs.doctor.text import padding, repeated_text, too_few_tokens
from tests.runs.doctor.records import probe, record


def test_tokens_for_the_size():
    assert too_few_tokens(record(parameters=19_000_000)) is None  # small models are for trying things out
    assert too_few_tokens(record(parameters=100_000_000, settings={"init_from": "last"})) is None
    found = too_few_tokens(record(parameters=20_480_000))
    assert found is not None and found.number == pytest.approx(0.01) and "2,000 times as long" in found.advice
    still = record(parameters=20_480_000, stage=Stage.training, settings={"max_steps": 20_000})
    assert too_few_tokens(still) is None  # what it will have read
    with pytest.raises(CannotJudge, match="size is not known"):
        too_few_tokens(record())


def test_text_that_is_read_over_and_over():
    assert repeated_text(record()) is None
    found = repeated_text(record(receipt={"splits": {"train": {"tokens": 20_480}}}))
    assert found is not None and found.number == 10 and found.severity is Severity.note
    found = repeated_text(record(settings={"train_sequences": 16}))
    assert found is not None and found.number == 200 and found.severity is Severity.warning
    with pytest.raises(CannotJudge):
        repeated_text(record(receipt={}))


def test_padding():
    assert padding(record()) is None  # concat has none
    padded = {"parts": {"packing": "padded"}}
    assert padding(record(probe=probe(padding=0.25), **padded)) is None
    found = padding(record(probe=probe(padding=0.7), **padded))
    assert found is not None and found.severity is Severity.problem and found.advice == "packing=best_fit"
    found = padding(record(probe=probe(padding=0.7), parts={"packing": "padded", "data": "shapes"}))
    assert found is not None and found.severity is Severity.note
    with pytest.raises(CannotJudge, match="not opened"):
        padding(record(**padded))
