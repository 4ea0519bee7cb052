"""Repetition by hand."""

import math

import numpy as np
import pytest

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.repetition import RepetitionConfig
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


def test_runs_that_stood_in_their_text_before():
    metric = RepetitionConfig(n=2).build(FACTS)
    samples = [TextSample(predictions=[text]) for text in ("a b a b a b", "a b c", "a", "")]
    assert metric.statistics(samples).tolist() == [[3, 5], [0, 2], [0, 0], [0, 0]]
    metric.update(samples)
    assert metric.compute() == 3 / 7 and not metric.higher_is_better


def test_texts_too_short_for_a_run_measure_nothing():
    metric = RepetitionConfig().build(FACTS)
    metric.update([TextSample(predictions=["a b c"])])
    assert math.isnan(metric.compute())
    with pytest.raises(ConfigError, match="n=0 is no number of words"):
        RepetitionConfig(n=0)
