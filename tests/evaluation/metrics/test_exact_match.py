"""Exact match by hand."""

import math

import numpy as np
import pytest

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.exact_match import ExactMatchConfig, Spelling
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [(Spelling.exact, [1, 0, 0, 0, 1]), (Spelling.spaces, [1, 1, 0, 0, 1]), (Spelling.squad, [1, 1, 1, 1, 1])],
)
def test_which_differences_do_not_count(spelling, expected):
    pairs = [("a b", ["c", "a b"]), (" a  b\n", ["a b"]), ("The b!", ["b"]), ("-1.5", ["15"]), ("", [""])]
    samples = [TextSample(predictions=[text], references=references) for text, references in pairs]
    metric = ExactMatchConfig(spelling=spelling).build(FACTS)
    assert metric.statistics(samples).tolist() == [[value, 1] for value in expected]


def test_a_sample_without_references_is_not_measured():
    metric = ExactMatchConfig().build(FACTS)
    metric.update([TextSample(predictions=["a"])])
    assert math.isnan(metric.compute())
    metric.update([TextSample(predictions=["文"], references=["文"]), TextSample(predictions=["a"], references=["b"])])
    assert metric.compute() == 0.5
