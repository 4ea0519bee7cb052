"""BLEU against sacrebleu's own numbers."""

import math

import numpy as np
import pytest
import sacrebleu

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.bleu import BleuConfig
from prospero.evaluation.metrics.text_base import TextSample
from tests.evaluation.metrics.generated_texts import generated_samples, in_columns

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


@pytest.mark.parametrize("settings", [{}, {"tokenize": "zh"}, {"tokenize": "char"}, {"lowercase": True}])
def test_summed_counts_give_the_bleu_of_the_corpus_with_any_number_of_references(settings):
    samples = generated_samples()
    metric = BleuConfig(**settings).build(FACTS)
    expected = sacrebleu.corpus_bleu([sample.prediction for sample in samples], in_columns(samples), **settings).score
    assert expected > 1
    assert float(metric.finish(metric.statistics(samples).sum(axis=0))) == expected


def test_one_text_has_the_bleu_that_sacrebleu_gives_a_corpus_of_one():
    metric = BleuConfig().build(FACTS)
    for sample in generated_samples(50, seed=2):
        expected = sacrebleu.corpus_bleu([sample.prediction], [[text] for text in sample.references]).score
        assert float(metric.finish(metric.statistics([sample]))[0]) == expected


def test_of_two_references_as_far_off_in_length_the_shorter_counts():
    sample = TextSample(predictions=["a b c d e"], references=["a b c d e f", "a b c d"])
    words, reference_words, *_ = BleuConfig().build(FACTS).statistics([sample])[0]
    assert (words, reference_words) == (5, 4)


def test_chinese_needs_its_own_words():
    sample = TextSample(predictions=["今天天气很好我们去公园"], references=["今天天气很好他们去公园"])
    plain, chinese = BleuConfig().build(FACTS), BleuConfig(tokenize="zh").build(FACTS)
    assert plain.finish(plain.statistics([sample]))[0] == 0
    assert chinese.finish(chinese.statistics([sample]))[0] == pytest.approx(70.1, abs=1)


def test_what_was_not_measured_is_no_number_and_an_empty_text_is_zero():
    metric = BleuConfig().build(FACTS)
    assert math.isnan(metric.compute())
    metric.update([TextSample(predictions=["a"])])
    assert math.isnan(metric.compute())
    metric.update([TextSample(predictions=[""], references=["a b"]), TextSample(predictions=["a"], references=[""])])
    assert metric.compute() == 0


def test_a_tokenizer_that_would_be_downloaded_is_refused():
    with pytest.raises(ConfigError, match="there is no tokenize=flores200; choose one of 13a, intl, zh"):
        BleuConfig(tokenize="flores200")
