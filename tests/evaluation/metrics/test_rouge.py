"""ROUGE against rouge-score's own numbers, and on texts for which that package has no time."""

import math
import sys

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.rouge import RougeConfig
from prospero.evaluation.metrics.text_base import TextSample
from prospero.evaluation.metrics.words import Words
from tests.evaluation.metrics.generated_texts import generated_samples

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


@pytest.mark.parametrize("stemmer", [False, True])
def test_each_part_is_that_of_rouge_score_for_the_best_of_several_references(stemmer):
    samples, scorer = generated_samples(), RougeScorer(TYPES, use_stemmer=stemmer)
    expected = [[s.fmeasure for s in scorer.score_multi(x.references, x.prediction).values()] for x in samples]
    metric = RougeConfig(stemmer=stemmer).build(FACTS)
    found = metric.statistics(samples)
    assert found[:, :4] == pytest.approx(np.array(expected), abs=1e-12) and (found[:, 4] == 1).all()
    metric.update(samples)
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(
        dict(zip(["rouge_1", "rouge_2", "rouge_l", "rouge_lsum"], np.mean(expected, axis=0)))
    )


def test_chinese_is_nothing_to_published_rouge_and_words_to_that_of_unicode():
    sample = TextSample(predictions=["今天天气很好"], references=["今天天气不好"])
    published, unicode = RougeConfig().build(FACTS), RougeConfig(words=Words.unicode).build(FACTS)
    assert published.statistics([sample])[0].tolist() == [0, 0, 0, 0, 1]
    assert unicode.statistics([sample])[0].tolist() == pytest.approx([5 / 6, 3 / 5, 5 / 6, 5 / 6, 1])


def test_what_was_not_measured_is_no_number_and_empty_texts_are_zero():
    metric = RougeConfig().build(FACTS)
    assert all(math.isnan(value) for value in metric.compute().values())
    metric.update([TextSample(predictions=["a"])])
    assert all(math.isnan(value) for value in metric.compute().values())
    pairs = [("", "a b"), ("a b", ""), ("", "")]
    metric.update([TextSample(predictions=[text], references=[reference]) for text, reference in pairs])
    assert [float(value) for value in metric.compute().values()] == [0] * 4


def test_the_stemmer_needs_its_package_and_english(monkeypatch):
    with pytest.raises(ConfigError, match="stemmer=true is for English"):
        RougeConfig(stemmer=True, words=Words.unicode)
    monkeypatch.setitem(sys.modules, "rouge_score.tokenizers", None)
    with pytest.raises(
        ConfigError, match="stemmer=true of rouge needs the package rouge-score: pip install rouge-score"
    ):
        RougeConfig(stemmer=True).build(FACTS)
