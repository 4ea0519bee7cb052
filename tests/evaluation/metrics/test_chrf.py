"""ChrF against sacrebleu's own numbers."""

import math

import numpy as np
import pytest
import sacrebleu

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.chrf import ChrfConfig
from prospero.evaluation.metrics.text_base import TextSample
from tests.evaluation.metrics.generated_texts import generated_samples, in_columns

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


@pytest.mark.parametrize("settings", [{}, {"word_order": 2}, {"beta": 1, "char_order": 3}, {"lowercase": True}])
def test_summed_counts_give_the_chrf_of_the_corpus_with_any_number_of_references(settings):
    samples = generated_samples()
    metric = ChrfConfig(**settings).build(FACTS)
    counter = sacrebleu.metrics.CHRF(**settings)
    expected = counter.corpus_score([sample.prediction for sample in samples], in_columns(samples)).score
    assert expected > 5
    assert float(metric.finish(metric.statistics(samples).sum(axis=0))) == pytest.approx(expected, abs=1e-10)


def test_it_reads_chinese_and_knows_what_it_has_not_measured():
    metric = ChrfConfig().build(FACTS)
    assert math.isnan(metric.compute())
    metric.update([TextSample(predictions=["无关"])])
    assert math.isnan(metric.compute())
    metric.update([TextSample(predictions=[""], references=["今天天气很好"])])
    assert metric.compute() == 0
    metric.update([TextSample(predictions=["今天天气很好"], references=["今天天气很好"])])
    assert metric.compute() == pytest.approx(sacrebleu.corpus_chrf(["", "今天天气很好"], [["今天天气很好"] * 2]).score)


def test_runs_of_no_length_are_refused():
    with pytest.raises(ConfigError, match="char_order=0 counts nothing; give 1 or more"):
        ChrfConfig(char_order=0)
