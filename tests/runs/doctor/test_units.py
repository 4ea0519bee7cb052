"""Units, heads and sinks, by what a probe says."""

import pytest

from prospero.runs.doctor.finding import CannotJudge, Severity
from prospero.runs.doctor.units import attention_sinks, dead_heads, dead_units
from tests.runs.doctor.records import probe, record


def test_a_model_in_which_all_works():
    run = record(probe=probe())
    assert [rule(run) for rule in (dead_units, dead_heads, attention_sinks)] == [None] * 3


def test_dead_units():
    layers = {"block.0.feed_forward.hidden": 0.0, "block.1.feed_forward.hidden": 0.6}
    found = dead_units(record(probe=probe(dormant=layers), settings={"model": {"activation": "relu"}}))
    assert found is not None and found.number == 60 and found.severity is Severity.problem
    assert "block.1" in found.unit and "(30 % of all)" in found.unit and "swiglu" in found.advice
    slight = dead_units(record(probe=probe(dormant={"block.0.output": 0.2})))
    assert slight is not None and slight.severity is Severity.warning and "swiglu" not in slight.advice


def test_dead_heads_and_sinks():
    found = dead_heads(record(probe=probe(silent_heads=["0.1"])))
    assert found is not None and found.number == 25 and "0.1" in found.unit
    sinks = attention_sinks(record(probe=probe(sink_heads=["0.0", "0.1", "1.0"])))
    assert sinks is not None and sinks.number == 75 and sinks.severity is Severity.note


def test_without_a_probe_or_heads_there_is_no_answer():
    for run in (record(), record(probe=probe(heads=0, dormant={}))):
        for rule in (dead_units, dead_heads, attention_sinks):
            with pytest.raises(CannotJudge):
                rule(run)
