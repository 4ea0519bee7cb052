"""Token F1 by hand."""

import numpy as np
import pytest

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextSample
from prospero.evaluation.metrics.token_f1 import TokenF1Config
from prospero.evaluation.metrics.words import Words

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("the red red cat", ["A red cat."], 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("red", ["blue", "red cat"], 2 * 1 * 0.5 / 1.5),
        ("red", ["blue"], 0),
        ("", [""], 1),
        ("the", ["an"], 1),
        ("", ["red"], 0),
        ("red", [""], 0),
        ("今天好", ["今天坏"], 0),
    ],
)
def test_the_best_reference_counts(text, references, expected):
    row = TokenF1Config().build(FACTS).statistics([TextSample(predictions=[text], references=references)])[0]
    assert row.tolist() == pytest.approx([expected, 1])


def test_chinese_has_words_where_letters_are_words():
    sample = TextSample(predictions=["今天好"], references=["今天坏"])
    metric = TokenF1Config(words=Words.unicode).build(FACTS)
    assert metric.finish(metric.statistics([sample]))[0] == pytest.approx(2 / 3)
