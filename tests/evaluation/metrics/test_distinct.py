"""Distinct-n by hand."""

import math

import numpy as np
import pytest

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.distinct import DistinctConfig
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


def test_what_is_new_in_its_text_over_all_texts():
    metric = DistinctConfig().build(FACTS)
    samples = [TextSample(predictions=[text]) for text in ("a b a b a", "a!", "", "你好你好")]
    assert metric.statistics(samples).tolist() == [
        [2, 5, 2, 4, 2, 3],
        [2, 2, 1, 1, 0, 0],
        [0] * 6,
        [2, 4, 2, 3, 2, 2],
    ]
    metric.update(samples)
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(
        {"distinct_1": 6 / 11, "distinct_2": 5 / 8, "distinct_3": 4 / 5}
    )


def test_texts_too_short_for_a_run_measure_nothing():
    metric = DistinctConfig().build(FACTS)
    metric.update([TextSample(predictions=["a"])])
    found = metric.compute()
    assert found["distinct_1"] == 1 and math.isnan(found["distinct_2"]) and math.isnan(found["distinct_3"])
