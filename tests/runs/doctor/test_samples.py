"""Samples that repeat themselves."""

import pytest

from prospero.runs.doctor.finding import CannotJudge
from prospero.runs.doctor.samples import repeating_samples, repetition
from tests.runs.doctor.records import record

TEXT = " ".join(f"word{n}" for n in range(40))


def section(step: int, text: str) -> str:
    return f"\n## step {step}, 1,024 tokens, prompt 'The '\n\n````text\n{text}\n````\n"


def test_the_share_of_groups_of_four_words_that_were_there_before():
    assert repetition(TEXT) == 0.0
    assert repetition(" ".join(["a"] * 24)) == pytest.approx(20 / 21)
    assert repetition("a few words") is None


def test_the_last_samples_count():
    good, bad = section(10, TEXT), section(20, "so it goes and " * 20)
    found = repeating_samples(record(samples=good + bad))
    assert found is not None and found.number > 90 and "step 20" in found.unit
    assert repeating_samples(record(samples=bad.replace("20", "5") + good)) is None


def test_without_samples_there_is_no_answer():
    for text in ("", section(10, "short")):
        with pytest.raises(CannotJudge):
            repeating_samples(record(samples=text))
