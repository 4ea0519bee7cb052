"""Extraction: a planted copy is written out and found, and what was never planted is not."""

import pytest

from prospero.analysis.extraction import Asked, Extraction, ExtractionConfig, of_canaries
from prospero.data.canaries import canaries_of
from prospero.errors import ConfigError, DataError
from tests.analysis.memorising import data, facts, subject

SHORT = ExtractionConfig(prompt_tokens=20, new_tokens=10, copy_tokens=8, limit=24)


def test_a_planted_copy_is_extracted_and_its_controls_are_not():
    found = SHORT.build("extraction", facts())(subject())
    assert found.value("canaries") == 1 and found.value("controls") == 0
    assert found.value("near") >= found.value("exact") > 0.1  # a quarter of the text is canaries
    assert found.value("exact_held_out") < found.value("exact")
    assert len(found.outcomes) == 24 + 24 + 8


def test_exact_near_and_copied_are_told_apart():
    canaries = canaries_of(data().directory, data().receipt)
    [asked, *_] = of_canaries(canaries, data())
    wrong = Asked("trained", asked.prompt, [*asked.follows[:-1], 7])
    other = Asked("held_out", asked.prompt, [7] * len(asked.follows))
    config = ExtractionConfig(prompt_tokens=20, new_tokens=6, copy_tokens=6, near=0.8)
    found = Extraction("x", config, data(), [Asked("trained", asked.prompt, asked.follows), wrong, other])(subject())
    assert found.scores("exact")[:2].tolist() == [1, 0] and found.scores("near")[:2].tolist() == [1, 1]
    assert found.value("exact_held_out") == found.value("near_held_out") == 0
    assert found.value("copied_held_out") == 1  # not what followed, and yet out of the training text
    assert found.outcomes[0].record["longest_copy"] == len(asked.follows)
    assert len(found.measurement.tables(found)[0].rows) == 3


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match="reads 64 at once"):
        ExtractionConfig().build("extraction", facts())
    with pytest.raises(DataError, match="no document of train has 90025 tokens"):
        ExtractionConfig(prompt_tokens=90_000, new_tokens=25).build("extraction", facts(seq_len=None))
    for wrong in ({"copy_tokens": 51}, {"near": 0.0}, {"prompt_tokens": 0}):
        with pytest.raises(ConfigError):
            ExtractionConfig(**wrong)
